"""Which sums over rows can be taken apart into what each entity contributes; which products fit a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.plans.tallies import Tally, TallyKind
from gridward.core.privacy.call import Call, axes_of
from gridward.core.privacy.flow import Rows

#: Most contributions that are counted for one sum; a larger one is not followed.
MOST: Final = 2**28
_SUMS: Final = {
    Op.SUM_DIM_INTLIST: TallyKind.SUM,
    Op.MEAN_DIM: TallyKind.SUM,
    Op.VAR_CORRECTION: TallyKind.SQUARES,
}
_PRODUCTS: Final = {Op.MM: ("self", "mat2"), Op.BMM: ("self", "mat2"), Op.ADDMM: ("mat1", "mat2")}


@dataclass(frozen=True, slots=True)
class Fit:
    """A product of the rows of ``table`` with themselves from which so many parameters can be solved for."""

    table: str
    parameters: int


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """A sum over rows of ``table`` whose single contributions are not followed: the step to blame."""

    table: str
    step: str


def contributions(call: Call, name: str) -> Tally | None:
    """Say how to count who is behind a step that adds up over rows; None where that is not followed."""
    if call.step.op in _SUMS:
        return _of_sum(call, name)
    if call.step.op in _PRODUCTS:
        return _of_product(call, name)
    return None


def fit_of(call: Call, rows: Sequence[Rows]) -> list[Fit]:
    """A product of several columns with several columns of the same rows, such as that of a regression."""
    if call.step.op not in _PRODUCTS or len(rows) < 2:
        return []
    parameters = min(call.shape()[-2:])
    return [Fit(rows[0].table, parameters)] if parameters > 1 else []


def _of_sum(call: Call, name: str) -> Tally | None:
    flow, operand = call.flow("self"), call.argument("self")
    if not isinstance(flow, Rows) or not isinstance(operand, Ref) or prod(flow.shape) > MOST:
        return None
    over = tuple(sorted(axes_of(call, "dim", flow)))
    return Tally(name, _SUMS[call.step.op], flow.table, (operand.name,), flow.axis, over)


def _of_product(call: Call, name: str) -> Tally | None:
    left, right = (call.argument(factor) for factor in _PRODUCTS[call.step.op])
    if not isinstance(left, Ref) or not isinstance(right, Ref):
        return None
    carrier = next((f for n in (left.name, right.name) if isinstance(f := call.flows[n], Rows)), None)
    if carrier is None or carrier.shape[carrier.axis] * prod(call.shape()) > MOST:
        return None
    return Tally(name, TallyKind.PRODUCT, carrier.table, (left.name, right.name), -1)
