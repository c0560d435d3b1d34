"""From torch functions, modules and training steps to plans."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.drawn import Draw, Drawing
from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.folding import fold
from gridward.core.plans.lower import lower
from gridward.core.plans.optimizers import Optimizer
from gridward.core.plans.plan import Dim, DimRange, Input, Kind, Output, Plan, Role, Size
from gridward.core.plans.simplify import rename, simplify
from gridward.core.plans.spelled import Spelled
from gridward.core.plans.torch_private import HINT, fx_graph
from gridward.core.plans.trace_guards import mode, refusing
from gridward.core.plans.validate import check

RANDOM: Final = "random."

Values: TypeAlias = Mapping[str, Tensor]
Eager: TypeAlias = Callable[[Values], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Traced:
    """A plan and what its author holds besides.

    ``parameters`` are the values of ``param`` and ``state`` inputs, ``hyper`` of ``hyper`` inputs. ``eager``
    computes on torch, without the plan, the same outputs from the same inputs; ``examples`` holds one value
    for each input: ``executors.gate`` compares the two.
    """

    plan: Plan
    parameters: dict[str, Tensor]
    hyper: dict[str, Tensor]
    examples: dict[str, Tensor]
    eager: Eager


@dataclass(frozen=True, slots=True)
class _Signature:
    """What a traced function takes and gives, by name."""

    name: str
    kind: Kind
    inputs: Mapping[str, tuple[Role, Tensor]]
    outputs: Mapping[str, Role]
    dynamic: frozenset[Role] = frozenset({Role.DATA, Role.TARGET, Role.RANDOM})
    fewest: int = 1


def trace_module(
    module: nn.Module,
    example_inputs: tuple[Tensor, ...],
    *,
    name: str,
    input_names: Sequence[str] | None = None,
) -> Traced:
    """Make the inference plan of a module, as it computes in eval mode.

    The first dimension of every input is the batch, ``Dim("B")``. Outputs are ``output`` (or ``output0``, ...
    for a tuple). The module is left as it was.

    Raises:
        PlanRejectedError: names all ops that plans do not have, or the batch size was silently fixed.
    """
    fed = list(input_names or _default_names("x", len(example_inputs)))
    own, buffers = dict(module.named_parameters()), dict(module.named_buffers())

    def eager(values: Values) -> dict[str, Tensor]:
        held = {key: values[key] for key in (*own, *buffers) if key in values}
        with mode(module, training=False):
            return _results(functional_call(module, held, tuple(values[key] for key in fed)))

    inputs = (
        {key: (Role.PARAM, value.detach()) for key, value in own.items()}
        | {key: (Role.STATE, value.detach()) for key, value in buffers.items()}
        | _unclaimed(fed, [*own, *buffers], Role.DATA, example_inputs)
    )
    with torch.no_grad(), refusing():
        results = eager({key: value for key, (_, value) in inputs.items()})
    outputs = dict.fromkeys(results, Role.OUTPUT)
    return _trace(eager, _Signature(name, Kind.INFERENCE, inputs, outputs))


def trace_function(
    function: Callable[..., Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]],
    example_inputs: Mapping[str, Tensor],
    *,
    name: str,
    kind: Kind = Kind.INFERENCE,
    roles: Mapping[str, Role] | None = None,
    output_roles: Mapping[str, Role] | None = None,
) -> Traced:
    """Make the plan of a pure function of tensors, taken in the order of ``example_inputs``.

    Inputs have role ``data`` and outputs ``output`` where nothing else is said; the first dimension of data
    and targets is the batch. A function that gives a mapping names its outputs; a tensor becomes ``output``.

    Raises:
        PlanRejectedError: names all ops that plans do not have, or the batch size was silently fixed.
    """
    said, given = roles or {}, output_roles or {}

    def eager(values: Values) -> dict[str, Tensor]:
        return _results(function(*(values[key] for key in example_inputs)))

    inputs = {key: (said.get(key, Role.DATA), value.detach()) for key, value in example_inputs.items()}
    with refusing():
        results = eager(example_inputs)
    outputs = {key: given.get(key, Role.OUTPUT) for key in results}
    return _trace(eager, _Signature(name, kind, inputs, outputs))


def trace_training(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    example_batch: tuple[Tensor, Tensor],
    *,
    name: str,
    data: str = "x",
    target: str = "y",
) -> Traced:
    """Make the plan of one training step: forward, loss, gradients and the optimizer's update.

    Inputs: every parameter and buffer of the module, the optimizer's state, ``x`` and ``y``, the optimizer's
    hyperparameters (``lr``), and numbers for each dropout (``random.0``, ...). Outputs: ``loss`` (mean over
    the batch, if the loss function's), ``correct`` (int64 count of right classes, only for class targets),
    every trained parameter, and the state that a step changes, of the optimizer and of batch norm, each under
    its own name. Frozen parameters (``requires_grad`` false) stay inputs.

    Raises:
        PlanRejectedError: names all ops that plans do not have, or the batch size was silently fixed.
    """
    trained = {key: value for key, value in module.named_parameters() if value.requires_grad}
    frozen = {key: value for key, value in module.named_parameters() if not value.requires_grad}
    buffers = dict(module.named_buffers())
    state, hyper = optimizer.initial_state(trained), optimizer.hyper()
    x, y = example_batch
    draws: list[Draw] = []

    def forward(held: Values, given: Tensor, drawing: Drawing) -> Tensor:
        with mode(module, training=True), Spelled(), drawing:
            result: Tensor = functional_call(module, dict(held), (given,))
        return result

    def eager(values: Values) -> dict[str, Tensor]:
        fixed = {key: values[key] for key in frozen if key in values}
        numbers = [(draw, values[f"{RANDOM}{at}"]) for at, draw in enumerate(draws)]

        def objective(parameters: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
            moving = {key: values[key].clone() for key in buffers if key in values}
            output = forward(fixed | moving | parameters, values[data], Drawing(numbers))
            with Spelled():
                return loss(output, values[target]), (output, moving)

        parameters = {key: values[key] for key in trained}
        gradients, (value, (output, counted)) = grad_and_value(objective, has_aux=True)(parameters)
        given = {"loss": value}
        if _classifies(output, values[target]):
            given["correct"] = (output.argmax(1) == values[target]).sum()
        held, settings = {key: values[key] for key in state}, {key: values[key] for key in hyper}
        updated, moved = optimizer.step(parameters, gradients, held, settings)
        after: dict[str, Tensor] = {**given, **updated, **moved, **counted}
        return after

    def tried(rows: int) -> Drawing:
        noting = Drawing()
        still = {key: value.detach().clone() for key, value in (trained | frozen | buffers).items()}
        forward(still, _cycle(x, rows), noting)
        return noting

    with torch.no_grad(), refusing():
        draws += tried(HINT).draws
        fewest = _fewest_rows(tried)
    inputs = (
        {key: (Role.PARAM, value.detach()) for key, value in (trained | frozen).items()}
        | {key: (Role.STATE, value.detach()) for key, value in (buffers | state).items()}
        | _unclaimed([data], [*trained, *frozen, *buffers, *state, *hyper], Role.DATA, [x])
        | _unclaimed([target], [*trained, *frozen, *buffers, *state, *hyper], Role.TARGET, [y])
        | {key: (Role.HYPER, value) for key, value in hyper.items()}
        | {f"{RANDOM}{at}": (Role.RANDOM, draw.example(len(x))) for at, draw in enumerate(draws)}
    )
    with torch.no_grad(), refusing():
        results = eager({key: value for key, (_, value) in inputs.items()})
    known = {"loss": Role.LOSS, "correct": Role.METRIC}
    outputs = {key: known.get(key) or (Role.PARAM if key in trained else Role.STATE) for key in results}
    return _trace(eager, _Signature(name, Kind.TRAINING, inputs, outputs, fewest=fewest))


def trace_evaluation(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    example_batch: tuple[Tensor, Tensor],
    *,
    name: str,
    metrics: Mapping[str, Callable[[Tensor, Tensor], Tensor]] | None = None,
    data: str = "x",
    target: str = "y",
) -> Traced:
    """Make the plan that judges a module, as it computes in eval mode: loss and metrics of one batch.

    Outputs: ``loss`` (mean over the batch), ``accuracy`` (int64 count of right classes, only for class
    targets), and ``metrics`` of output and target. Each of these gives one number, the mean over the batch as
    a loss does; the plan tells it times the number of rows, so that sums over batches divide by all rows.

    Raises:
        PlanRejectedError: names all ops that plans do not have, or the batch size was silently fixed.
    """
    own, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    x, y = example_batch

    def judge(values: Values) -> dict[str, Tensor]:
        held = {key: values[key] for key in (*own, *buffers) if key in values}
        with mode(module, training=False), Spelled():
            output = functional_call(module, held, (values[data],))
            given = {"loss": loss(output, values[target])}
            judged = {key: metric(output, values[target]) for key, metric in (metrics or {}).items()}
        if _classifies(output, values[target]):
            given["accuracy"] = (output.argmax(1) == values[target]).sum()
        rows = values[target].shape[0]
        return given | {key: _one_number(key, value) * rows for key, value in judged.items()}

    def eager(values: Values) -> dict[str, Tensor]:
        # without a gradient torch's losses change their values in place, which plans cannot
        def objective(nothing: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            given = judge(values)
            return given["loss"] + nothing, given

        results: dict[str, Tensor] = grad_and_value(objective, has_aux=True)(torch.zeros(()))[1][1]
        return results

    inputs = (
        {key: (Role.PARAM, value.detach()) for key, value in own.items()}
        | {key: (Role.STATE, value.detach()) for key, value in buffers.items()}
        | _unclaimed([data], [*own, *buffers], Role.DATA, [x])
        | _unclaimed([target], [*own, *buffers], Role.TARGET, [y])
    )
    with torch.no_grad(), refusing():
        results = eager({key: value for key, (_, value) in inputs.items()})
    outputs = {key: Role.LOSS if key == "loss" else Role.METRIC for key in results}
    return _trace(eager, _Signature(name, Kind.EVALUATION, inputs, outputs))


def resize(examples: Values, plan: Plan, rows: int) -> dict[str, Tensor]:
    """Give the examples with another number of rows, by repeating rows in order."""
    moving = {value.name for value in plan.inputs if any(isinstance(size, Dim) for size in value.shape)}
    return {key: _cycle(value, rows) if key in moving else value for key, value in examples.items()}


def _trace(eager: Eager, signature: _Signature) -> Traced:
    _named(signature)
    names = list(signature.inputs)
    moving = [role in signature.dynamic and value.ndim > 0 for role, value in signature.inputs.values()]
    examples = [
        _cycle(value, HINT) if moves else value
        for (_, value), moves in zip(signature.inputs.values(), moving, strict=True)
    ]

    def flat(*values: Tensor) -> list[Tensor]:
        results = eager(dict(zip(names, values, strict=True)))
        return [results[key] for key in signature.outputs]

    with refusing():
        graph, symbol = fx_graph(flat, examples, moving)
        fold(graph)
    if any(moving) and symbol is None:
        raise PlanRejectedError(
            "the batch size was silently fixed: the function takes the number of rows for a constant"
        )
    lowered = lower(graph, names, symbol)
    plan = Plan(
        name=signature.name,
        kind=signature.kind,
        producer=f"torch {torch.__version__}",
        dims=(("B", DimRange(signature.fewest)),) if any(moving) else (),
        inputs=tuple(
            _input(key, *signature.inputs[key], moves) for key, moves in zip(names, moving, strict=True)
        ),
        constants=tuple(lowered.constants),
        steps=tuple(lowered.steps),
        outputs=tuple(
            Output(key, role, ref)
            for (key, role), ref in zip(signature.outputs.items(), lowered.outputs, strict=True)
            if role is not Role.STATE or ref != key
        ),
    )
    plan = simplify(_name_constants(plan))
    check(plan)
    kept = {value.name for value in plan.inputs}
    held = {key: value for key, (_, value) in signature.inputs.items() if key in kept}
    roles = {key: role for key, (role, _) in signature.inputs.items()}
    return Traced(
        plan,
        {key: value for key, value in held.items() if roles[key] in (Role.PARAM, Role.STATE)},
        {key: value for key, value in held.items() if roles[key] is Role.HYPER},
        held,
        eager,
    )


def _named(signature: _Signature) -> None:
    wrong = [
        f"{key!r} is {value.dtype}"
        for key, (_, value) in signature.inputs.items()
        if value.dtype not in NAMES
    ]
    if wrong:
        raise PlanRejectedError(
            f"only float32, float64, int32, int64, uint8 and bool travel: {', '.join(wrong)}"
        )


def _name_constants(plan: Plan) -> Plan:
    taken = {value.name for value in plan.inputs}
    free = (name for at in range(len(taken) + len(plan.constants)) if (name := f"c{at}") not in taken)
    names = dict(zip((value.name for value in plan.constants), free, strict=False))
    return replace(
        plan,
        constants=tuple(replace(value, name=names[value.name]) for value in plan.constants),
        steps=tuple(rename(step, names) for step in plan.steps),
        outputs=tuple(replace(output, ref=names.get(output.ref, output.ref)) for output in plan.outputs),
    )


def _input(name: str, role: Role, value: Tensor, moves: bool) -> Input:
    shape: list[Size] = list(value.shape)
    if moves:
        shape[0] = Dim("B")
    return Input(name, role, NAMES[value.dtype], tuple(shape))


def _cycle(value: Tensor, rows: int) -> Tensor:
    if not len(value):
        raise PlanRejectedError("an example needs at least one row")
    return value[torch.arange(rows) % len(value)]


def _results(results: object) -> dict[str, Tensor]:
    if isinstance(results, Tensor):
        return {"output": results}
    if isinstance(results, tuple | list):
        results = dict(zip(_default_names("output", len(results)), results, strict=True))
    if not isinstance(results, Mapping) or not all(isinstance(v, Tensor) for v in results.values()):
        raise PlanRejectedError("a traced function gives a tensor, a tuple of tensors or a dict of tensors")
    return dict(results)


def _default_names(stem: str, count: int) -> list[str]:
    return [stem] if count == 1 and stem == "x" else [f"{stem}{at}" for at in range(count)]


def _unclaimed(
    names: Sequence[str], taken: Sequence[str], role: Role, values: Sequence[Tensor]
) -> dict[str, tuple[Role, Tensor]]:
    clash = sorted(set(names) & set(taken))
    if clash or len(set(names)) != len(values):
        raise PlanRejectedError(f"{len(values)} inputs need as many names that no parameter has; not {names}")
    return {key: (role, value.detach()) for key, value in zip(names, values, strict=True)}


def _fewest_rows(tried: Callable[[int], object]) -> int:
    """Batch norm takes no batch with one value a channel, and says so by a ``ValueError``."""
    try:
        tried(1)
    except ValueError:
        return 2
    return 1


def _one_number(name: str, value: Tensor) -> Tensor:
    if value.numel() != 1:
        raise PlanRejectedError(f"metric {name!r} gives {list(value.shape)}, not the mean over its batch")
    value = value.reshape(())
    return value if value.is_floating_point() else value.to(torch.float32)


def _classifies(output: Tensor, target: Tensor) -> bool:
    return target.dtype is torch.int64 and target.ndim == 1 and output.ndim == 2
