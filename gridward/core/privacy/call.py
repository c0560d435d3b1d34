"""One step of a plan as the rules see it: its arguments by name, and what is known of its operands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gridward.core.plans.plan import Argument, DType, Ref, Step
from gridward.core.plans.table import SPECS
from gridward.core.plans.validate import references
from gridward.core.privacy.flow import Known, MixingError, Shape, free, rows_of


@dataclass(frozen=True, slots=True)
class Call:
    """One step with what is known of its operands. ``counted``: masks and bins are counted at run time."""

    step: Step
    flows: Mapping[str, Known]
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, DType]
    counted: bool

    def argument(self, name: str) -> Argument:
        """Give the argument of this name."""
        at = SPECS[self.step.op].position(name)
        if at is None or at >= len(self.step.args):
            raise MixingError(f"its argument {name} is missing")
        return self.step.args[at]

    def maybe(self, name: str) -> Known | None:
        """What is known of a tensor argument; None where it is absent."""
        given = self.argument(name)
        return self.flows[given.name] if isinstance(given, Ref) else None

    def flow(self, name: str) -> Known:
        """What is known of a tensor argument."""
        found = self.maybe(name)
        if found is None:
            raise MixingError(f"its argument {name} is missing")
        return found

    def operands(self) -> list[Known]:
        """All tensor arguments, in order; one that is used twice counts twice."""
        return [self.flows[name] for name in references(self.step)]

    def shape(self, result: int = 0) -> Shape:
        """Shape of a result."""
        return self.shapes.get(self.step.out[result], ())

    def integer(self, name: str) -> int:
        """Give an integer argument."""
        given = self.argument(name)
        if isinstance(given, bool) or not isinstance(given, int):
            raise MixingError(f"its argument {name} is not an integer")
        return given

    def integers(self, name: str) -> tuple[int, ...]:
        """Give a list of integers, empty where it is absent."""
        given = self.argument(name)
        if given is None:
            return ()
        if not isinstance(given, tuple) or not all(isinstance(item, int) for item in given):
            raise MixingError(f"its argument {name} is not a list of integers")
        return tuple(item for item in given if isinstance(item, int))

    def decides(self) -> bool:
        """Say whether the result is a mask."""
        return self.dtypes.get(self.step.out[0]) is DType.BOOL


Rule: TypeAlias = Callable[[Call], Known | tuple[Known, ...]]


def axis_of(dim: int, rank: int) -> int:
    """Count an axis from the right."""
    axis = dim if dim < 0 else dim - max(rank, 1)
    if not -max(rank, 1) <= axis < 0:
        raise MixingError("it names an axis that does not exist")
    return axis


def axes_of(call: Call, name: str, flow: Known) -> frozenset[int]:
    """Axes that a reduction runs over; none given means all, as in torch."""
    rank = len(flow.shape)
    given = call.argument(name)
    dims = (given,) if isinstance(given, int) else call.integers(name)
    return frozenset(axis_of(dim, rank) for dim in dims) if dims else frozenset(range(-rank, 0))


def free_only(reason: str, call: Call) -> Known | tuple[Known, ...]:
    """Refuse rows; values without rows may do anything."""
    operands = call.operands()
    if rows_of(operands):
        raise MixingError(reason)
    every = tuple(free(operands, call.shape(at)) for at in range(len(call.step.out)))
    return every if len(every) > 1 else every[0]
