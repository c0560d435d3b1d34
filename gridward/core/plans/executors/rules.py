"""What each op does on torch tensors: the one table behind the plain executor and shape propagation."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from gridward.core.plans.dtypes import DTYPES
from gridward.core.plans.executors.agreement import require_agreement
from gridward.core.plans.executors.devices import CPU
from gridward.core.plans.ops import Op, RowRule
from gridward.core.plans.plan import Argument, Constant, Dim, DType, Ref, Step
from gridward.core.plans.table import SPECS

Rule: TypeAlias = Callable[..., Tensor | tuple[Tensor | None, ...]]


def _overload(op: Op) -> Rule:
    """Give torch's own implementation, taking the arguments in the order of ``Step.args``."""
    _, packet, overload = op.value.split(".")
    kernel = getattr(getattr(torch.ops.aten, packet), overload)
    keywords = {argument.name for argument in kernel._schema.arguments if argument.kwarg_only}
    names = [param.name for param in SPECS[op].params]
    places = len(names) - sum(name in keywords for name in names)

    def rule(*args: Any) -> Any:  # noqa: ANN401 - an ATen overload takes and gives what its schema says
        return kernel(*args[:places], **dict(zip(names[places:], args[places:], strict=True)))

    return rule


def _full(size: list[int], fill_value: float, dtype: torch.dtype) -> Tensor:
    return torch.full(size, fill_value, dtype=dtype)


def _arange(start: float, end: float, step: float, dtype: torch.dtype) -> Tensor:
    return torch.arange(start, end, step, dtype=dtype)


def _extreme(rule: Rule) -> Rule:
    """Torch says "all dimensions" by an empty list for these two, a plan by None as everywhere."""

    def over(value: Tensor, dim: list[int] | None, keepdim: bool) -> Tensor | tuple[Tensor | None, ...]:
        return rule(value, [] if dim is None else dim, keepdim)

    return over


def _normalised(*args: object) -> tuple[Tensor, ...]:
    """Torch gives no statistics here on the CPU, and says on the meta device that it gives some."""
    value, *_ = _BATCH_NORM(*args)
    if not isinstance(value, Tensor):
        raise TypeError("batch norm gives a tensor")
    return value, value.new_empty(0), value.new_empty(0)


_BATCH_NORM: Final = _overload(Op.BATCH_NORM_NO_TRAINING)
TABLE: Final[Mapping[Op, Rule]] = MappingProxyType(
    {op: _overload(op) for op in Op}
    | {
        # `view` refuses some memory layouts; which layouts occur is the executor's affair, not the plan's.
        Op.VIEW: torch.reshape,
        Op.FULL: _full,
        Op.ARANGE_START_STEP: _arange,
        Op.BATCH_NORM_NO_TRAINING: _normalised,
        Op.AMAX: _extreme(_overload(Op.AMAX)),
        Op.AMIN: _extreme(_overload(Op.AMIN)),
    }
)


def apply(
    step: Step, values: Mapping[str, Tensor | None], dims: Mapping[str, int], device: torch.device = CPU
) -> tuple[Tensor | None, ...]:
    """Compute one step; a result that the op leaves out (a masked gradient) is None.

    What is made of no value is made on the ``device``.

    Raises:
        Exception: whatever torch raises, or ``require_agreement``; the caller names the step.
    """
    arguments = tuple(_argument(argument, values, dims) for argument in step.args)
    require_agreement(step.op, arguments)
    if SPECS[step.op].rows is RowRule.FACTORY:
        with device:
            result = TABLE[step.op](*arguments)
    else:
        result = TABLE[step.op](*arguments)
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def constant(value: Constant) -> Tensor:
    """Give a constant's tensor; little-endian, row-major."""
    if not value.data:
        return torch.empty(value.shape, dtype=DTYPES[value.dtype])
    return torch.frombuffer(bytearray(value.data), dtype=DTYPES[value.dtype]).reshape(value.shape)


def _argument(argument: Argument, values: Mapping[str, Tensor | None], dims: Mapping[str, int]) -> object:
    match argument:
        case Ref(name):
            return _value(name, values)
        case DType():
            return DTYPES[argument]
        case tuple():
            return [_item(item, values, dims) for item in argument]
        case _:
            return argument


def _item(
    item: Ref | Dim | int | None, values: Mapping[str, Tensor | None], dims: Mapping[str, int]
) -> object:
    match item:
        case Ref(name):
            return _value(name, values)
        case Dim(name):
            return dims[name]
        case _:
            return item


def _value(name: str, values: Mapping[str, Tensor | None]) -> Tensor:
    value = values[name]
    if value is None:
        raise ValueError(f"{name!r} is a gradient that its step was told to leave out")
    return value
