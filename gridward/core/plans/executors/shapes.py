"""Shapes, dtypes, memory and operations of a plan, found without computing: a run on torch's meta device."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.dtypes import DTYPES, NAMES
from gridward.core.plans.executors.limits import Estimate
from gridward.core.plans.executors.rules import apply
from gridward.core.plans.ops import CostRule, Op
from gridward.core.plans.plan import Constant, Dim, Input, Plan, Ref, Role, Size, Step
from gridward.core.plans.table import SPECS
from gridward.core.plans.validate import MAX_RANK, MAX_SIZE, blame, listing, references

#: Rows that a mask keeps are known only when the plan runs: (which mask of the plan, its elements) -> rows.
MaskRows = Callable[[int, int], int]

MAX_VALUE_BYTES: Final = 2**62
BEFORE: Final = -1
_META: Final = torch.device("meta")


@dataclass(frozen=True, slots=True)
class Propagation:
    """What is known of a run before it: every value's meta tensor, and what the run will use.

    ``vague`` names values whose shapes follow from how many rows a mask is assumed to keep.
    """

    values: Mapping[str, Tensor | None]
    estimate: Estimate
    vague: frozenset[str]

    def shape(self, name: str) -> tuple[int, ...]:
        """Give the shape of a value."""
        return tuple(self._tensor(name).shape)

    def dtype(self, name: str) -> torch.dtype:
        """Give the element type of a value."""
        return self._tensor(name).dtype

    def _tensor(self, name: str) -> Tensor:
        value = self.values[name]
        if value is None:
            raise KeyError(name)
        return value


def every_row(_mask: int, elements: int) -> int:
    """Assume that a mask keeps all: the bound for memory."""
    return elements


def distinct_rows(mask: int, elements: int) -> int:
    """Assume that different masks keep different numbers of rows: a plan must not rely on equal ones."""
    return max(min(2, elements), elements - 1 - mask)


def estimate(plan: Plan, dims: Mapping[str, int]) -> Estimate:
    """Bound what a run at these sizes uses. Cost: no arithmetic on values; about 0.1 milliseconds a step.

    Raises:
        PlanRejectedError: the shapes do not fit; names every offending step.
    """
    return propagate(plan, dims).estimate


def propagate(plan: Plan, dims: Mapping[str, int], mask_rows: MaskRows = every_row) -> Propagation:
    """Find shape and dtype of every value at these sizes of the dynamic dims.

    Raises:
        PlanRejectedError: names every step whose operands do not fit, and every output that does not replace
            its input with the same shape and dtype. Steps that depend on a blamed one are not blamed.
    """
    walk = _Walk(plan, dims, mask_rows)
    for at, step in enumerate(plan.steps):
        walk.step(at, step)
    for output in plan.outputs:
        walk.output(output.name, output.role, output.ref)
    walk.memory.copy_out(dict.fromkeys(output.ref for output in plan.outputs), walk.values)
    if walk.problems:
        sizes = ", ".join(f"{name}={size}" for name, size in dims.items())
        raise PlanRejectedError(listing(walk.problems) + (f" (at {sizes})" if sizes else ""))
    return Propagation(walk.values, Estimate(walk.memory.peak, walk.operations), frozenset(walk.vague))


def sizes(shape: tuple[Size, ...], dims: Mapping[str, int]) -> list[int]:
    """Put numbers for the dynamic sizes of a shape."""
    return [dims[size.name] if isinstance(size, Dim) else size for size in shape]


class _Memory:
    """Bytes alive while a plan runs. A view keeps its root alive; a value dies after its last reader."""

    def __init__(self, last_use: Mapping[str, int]) -> None:
        self.dying: dict[int, list[str]] = {}
        for name, at in last_use.items():
            self.dying.setdefault(at, []).append(name)
        self.root: dict[str, str] = {}
        self.holders: dict[str, int] = {}
        self.bytes: dict[str, int] = {}
        self.total = 0
        self.peak = 0

    def hold(self, name: str, value: Tensor | None, view_of: str | None) -> None:
        root = self.root[view_of] if view_of else name
        self.root[name] = root
        self.holders[root] = self.holders.get(root, 0) + 1
        if view_of is None:
            self.bytes[name] = 0 if value is None else value.numel() * value.element_size()
            self.total += self.bytes[name]

    def release(self, at: int, workspace_bytes: int) -> None:
        self.peak = max(self.peak, self.total + workspace_bytes)
        for name in self.dying.get(at, ()):
            root = self.root[name]
            self.holders[root] -= 1
            if not self.holders[root]:
                self.total -= self.bytes[root]

    def copy_out(self, names: Iterable[str], values: Mapping[str, Tensor | None]) -> None:
        """Count results that are views in full: whoever takes them makes them contiguous."""
        views = [values.get(name) for name in names if self.root.get(name) != name]
        extra = sum(value.numel() * value.element_size() for value in views if value is not None)
        self.peak = max(self.peak, self.total + extra)


class _Walk:
    """One pass over the steps, collecting problems."""

    def __init__(self, plan: Plan, dims: Mapping[str, int], mask_rows: MaskRows) -> None:
        self.plan = plan
        self.dims = dims
        self.mask_rows = mask_rows
        self.masks: dict[str, int] = {}
        self.problems: list[str] = []
        self.unknown: set[str] = set()
        self.vague: set[str] = set()
        self.operations = 0
        self.inputs = {value.name: value for value in plan.inputs}
        self.values: dict[str, Tensor | None] = {}
        self.memory = _Memory(last_uses(plan))
        for value in _fed(plan):
            shape = sizes(value.shape, dims)
            if math.prod(shape) > MAX_VALUE_BYTES // 8:
                self.problems.append(f"{value.name!r} of shape {shape} fits no machine")
                shape = [0] * len(shape)
            self._hold(value.name, torch.empty(shape, dtype=DTYPES[value.dtype], device="meta"))
        self.memory.release(BEFORE, 0)

    def _hold(self, name: str, value: Tensor | None, view_of: str | None = None) -> None:
        self.values[name] = value
        self.memory.hold(name, value, view_of)

    def step(self, at: int, step: Step) -> None:
        if self.unknown.isdisjoint(references(step)):
            try:
                self._account(at, step, self._results(step))
            except Exception as why:  # noqa: BLE001 - whatever torch raises, the plan is at fault
                self.problems.append(f"{blame(at, step)}: {_first_line(why)}")
            else:
                return
        self.unknown.update(step.out)

    def _results(self, step: Step) -> tuple[Tensor | None, ...]:
        values: Mapping[str, Tensor | None] = self.values
        if not self.vague.isdisjoint(references(step)):
            self.vague.update(step.out)
        if step.op is Op.INDEX_TENSOR:
            step, values = self._without_masks(step)
        results = apply(step, values, self.dims, _META)
        for value in results:
            if value is not None:
                _bounded(value)
        return results

    def _account(self, at: int, step: Step, results: tuple[Tensor | None, ...]) -> None:
        operands = [self.values[name] for name in references(step)]
        present = [value for value in operands if value is not None]
        made = [value for value in results if value is not None]
        self.operations += operations(step, present, made)
        view_of = _view(step, present)
        for name, value in zip(step.out, results, strict=True):
            self._hold(name, value, view_of)
        self.memory.release(at, workspace(step, present, made))

    def _without_masks(self, step: Step) -> tuple[Step, Mapping[str, Tensor | None]]:
        """Stand in for boolean masks: an index list for each dimension of the mask, of the assumed length."""
        values = dict(self.values)
        listed = step.args[1]
        indices: list[Ref | None] = []
        for item in listed if isinstance(listed, tuple) else ():
            name = item.name if isinstance(item, Ref) else None
            mask = values[name] if name else None
            if name is None or mask is None or mask.dtype not in (torch.bool, torch.uint8):
                indices.append(Ref(name) if name else None)
                continue
            _fits(mask, values, step, len(indices))
            self.vague.update(step.out)
            number = self.masks.setdefault(name, len(self.masks))
            rows = self.mask_rows(number, mask.numel())
            kept = f"rows of {name}"
            values[kept] = torch.empty([rows], dtype=torch.int64, device="meta")
            indices.extend([Ref(kept)] * mask.ndim)
        return Step(step.op, (step.args[0], tuple(indices)), step.out), values

    def output(self, name: str, role: Role, ref: str) -> None:
        if ref in self.unknown:
            return
        value = self.values[ref]
        if value is None:
            self.problems.append(f"output {name!r}: {ref!r} is a gradient that its step leaves out")
        elif role is Role.LOSS and (value.ndim or not value.is_floating_point()):
            self.problems.append(f"output {name!r}: a loss is one floating-point number")
        elif role in (Role.PARAM, Role.STATE):
            wanted = self.inputs[name]
            given = (tuple(value.shape), NAMES.get(value.dtype))
            if given != (tuple(sizes(wanted.shape, self.dims)), wanted.dtype):
                self.problems.append(f"output {name!r}: {given} does not replace the input of that name")


def _fed(plan: Plan) -> list[Input | Constant]:
    return [*plan.inputs, *plan.constants]


def last_uses(plan: Plan) -> dict[str, int]:
    """Give for every value the number of the last step that reads or makes it; outputs live past the end."""
    last = {value.name: BEFORE for value in _fed(plan)}
    for at, step in enumerate(plan.steps):
        last.update(dict.fromkeys(step.out, at))
        last.update(dict.fromkeys(references(step), at))
    last.update({output.ref: len(plan.steps) for output in plan.outputs})
    # Whoever feeds a run keeps the inputs.
    last.update({value.name: len(plan.steps) for value in plan.inputs})
    return last


def operations(step: Step, operands: list[Tensor], results: list[Tensor]) -> int:
    """Count elementary operations of one step; a multiply-add counts two."""
    made = sum(value.numel() for value in results)
    read = sum(value.numel() for value in operands)
    match SPECS[step.op].cost:
        case CostRule.FREE:
            return 1
        case CostRule.OUT:
            return 1 + made
        case CostRule.IN:
            return 1 + made + read
        case CostRule.SORT:
            return 1 + read * max(1, math.ceil(math.log2(max(2, read))))
        case CostRule.MATMUL:
            return 1 + 2 * made * operands[-1].shape[-2]
        case CostRule.CONVOLUTION:
            return 1 + 2 * made * math.prod(operands[1].shape[1:])
        case CostRule.CONVOLUTION_BACKWARD:
            return 1 + 4 * operands[0].numel() * math.prod(operands[2].shape[1:])
        case CostRule.WINDOW:
            kernel = step.args[1]
            area = math.prod(size for size in kernel if isinstance(size, int)) if type(kernel) is tuple else 1
            return 1 + made * area


def workspace(step: Step, operands: list[Tensor], results: list[Tensor]) -> int:
    """Bound the bytes that torch's kernels take besides operands and results."""
    everything = sum(value.numel() * value.element_size() for value in (*operands, *results))
    match SPECS[step.op].cost:
        case CostRule.FREE | CostRule.OUT:
            return 0
        case CostRule.SORT:
            return 3 * sum(value.numel() * max(8, value.element_size()) for value in operands)
        case CostRule.CONVOLUTION | CostRule.CONVOLUTION_BACKWARD:
            return 2 * everything
        case _:
            return everything


def _view(step: Step, operands: list[Tensor]) -> str | None:
    """Name the operand whose memory the result shares; None where the result is new memory."""
    shares = SPECS[step.op].cost is CostRule.FREE
    if step.op is Op.VIEW:
        shares = operands[0].is_contiguous()
    return next(references(step)) if shares else None


def _fits(mask: Tensor, values: Mapping[str, Tensor | None], step: Step, place: int) -> None:
    source = values[next(references(step))]
    wanted = tuple(source.shape[place : place + mask.ndim]) if source is not None else ()
    if tuple(mask.shape) != wanted:
        raise ValueError(
            f"a mask of shape {list(mask.shape)} does not fit dimensions of sizes {list(wanted)}"
        )


def _bounded(value: Tensor) -> None:
    if value.ndim > MAX_RANK or max(value.shape, default=0) > MAX_SIZE:
        raise ValueError(f"the result of shape {list(value.shape)} is beyond {MAX_RANK} dimensions or 2**48")
    if value.numel() * value.element_size() > MAX_VALUE_BYTES:
        raise ValueError(f"the result of shape {list(value.shape)} fits no machine")
    if value.dtype not in NAMES:
        raise ValueError(f"the result would be {value.dtype}, which does not travel")


def _first_line(why: Exception) -> str:
    return (str(why).strip() or type(why).__name__).splitlines()[0][:200]
