"""The private corners of torch that tracing stands on, in one place: an upgrade of torch is tried here."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch._decomp import core_aten_decompositions
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from gridward.core.plans.ops import Op

#: A batch size that is the size of nothing else, so that no other size is taken for it.
HINT: Final = 13


def fx_graph(
    function: Callable[..., list[Tensor]], examples: Sequence[Tensor], dynamic: Sequence[bool]
) -> tuple[fx.GraphModule, str | None]:
    """Trace a pure function of tensors to a graph of core-ATen calls, without in-place operations.

    The first dimension of every example marked dynamic is one symbol, the batch; those examples have ``HINT``
    rows. Ops of the closed table are kept whole, others decompose by torch's core-ATen table.

    Returns: the graph, and the batch symbol's name; None where the function fixed it to one number.
    """
    kept = {op.value for op in Op}
    every: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    table = {key: value for key, value in every.items() if str(key) not in kept}
    shapes = ShapeEnv()
    fakes = FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True)
    inputs = [
        fakes.from_tensor(
            example.detach(),
            symbolic_context=StatelessSymbolicContext(
                dynamic_sizes=[
                    DimDynamic.DUCK if moving and at == 0 else DimDynamic.STATIC for at in range(example.ndim)
                ]
            ),
        )
        for example, moving in zip(examples, dynamic, strict=True)
    ]
    with enable_python_dispatcher(), sdpa_kernel(SDPBackend.MATH), fakes, _FlatLayers():
        traced = make_fx(torch.func.functionalize(function), decomposition_table=table)(*inputs)
    traced.graph.eliminate_dead_code()
    symbols = {
        symbolic(fake.shape[0]) for fake, moving in zip(inputs, dynamic, strict=True) if moving and fake.ndim
    }
    symbol = symbols.pop() if len(symbols) == 1 else None
    return traced, symbol if isinstance(symbol, str) else None


class _FlatLayers(TorchFunctionMode):
    """Lays the rows of a linear layer out before torch does: torch itself fixes the number of sequences."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch calls anything through here
        if func is nn.functional.linear and not kwargs and args[0].ndim > 2:
            x, *rest = args
            return func(x.flatten(0, -2), *rest).reshape(*x.shape[:-1], -1)
        return func(*args, **(kwargs or {}))


def symbolic(size: Any) -> int | str | tuple[int, str] | None:  # noqa: ANN401 - fx arguments have no type
    """Read a size: an int, a symbol's name, (factor, symbol's name) for a multiple, None for all else."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    if expression.is_Integer:
        return int(expression)
    if expression.is_Symbol:
        return str(expression)
    factor, rest = expression.as_coeff_Mul()
    if factor.is_Integer and rest.is_Symbol:
        return int(factor), str(rest)
    return None
