"""Fold updates of many nodes into one, as a stream: memory does not grow with their number."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.core.errors import TrainingError

Array: TypeAlias = NDArray[Any]
Parameters: TypeAlias = Mapping[str, Array]
_BLOCK: Final = 1 << 18
_MOST_COUNTED: Final = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """Parameters after a node's local training of ``steps``, and the rows that it trained on (its weight).

    ``statistics`` names tensors that follow no gradient, such as batch norm's: their mean is the joint value.
    """

    node: str
    rows: int
    parameters: Parameters
    steps: int = 1
    statistics: frozenset[str] = frozenset()


class WeightedMean:
    """A running mean of updates, weighted by rows (McMahan et al. 2017, Algorithm 1).

    Floating-point tensors are summed in float64 and returned in the dtype of ``like``. Integer tensors count
    something (batches seen); the largest is kept. Memory: one float64 copy of the parameters.
    """

    def __init__(self, like: Parameters) -> None:
        self._like = like
        self._sums = {
            name: np.zeros(value.shape, np.float64) if is_real(value) else value.copy()
            for name, value in like.items()
        }
        self.rows = 0
        self.updates = 0

    def fold(self, update: Update) -> None:
        """Add one update.

        Raises:
            TrainingError: names the node and the tensor that is missing, foreign, of another shape or dtype,
                or not finite. Nothing of a refused update is added.
        """
        check(self._like, update)
        for name, value in update.parameters.items():
            if is_real(value):
                _add_times(self._sums[name], value, update.rows)
            else:
                np.maximum(self._sums[name], value, out=self._sums[name])
        self.rows += update.rows
        self.updates += 1

    def result(self) -> dict[str, Array]:
        """Return the mean so far.

        Raises:
            TrainingError: no update was folded.
        """
        if self.updates == 0:
            raise TrainingError("no node returned an update")
        return {
            name: _over(total, self.rows, self._like[name].dtype) if is_real(self._like[name]) else total
            for name, total in self._sums.items()
        }


def _add_times(total: Array, value: Array, rows: int) -> None:
    """Add a multiple in place; products exist for one block at a time."""
    sums, added = total.reshape(-1), value.reshape(-1)
    for start in range(0, sums.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        sums[block] += np.multiply(added[block], rows, dtype=np.float64)


def _over(total: Array, rows: int, dtype: np.dtype[Any]) -> Array:
    result = np.empty(total.shape, dtype)
    np.divide(total, rows, out=result, casting="same_kind")
    return result


def check(like: Parameters, update: Update) -> None:
    """Refuse an update that does not fit the model, or that is not finite."""
    if not (0 < update.rows <= _MOST_COUNTED and 0 < update.steps <= _MOST_COUNTED):
        raise TrainingError(f"{update.node} trained on {update.rows} rows in {update.steps} steps")
    odd = sorted(set(like) ^ set(update.parameters))
    if odd:
        raise TrainingError(f"{update.node} returned other parameters than were sent: {', '.join(odd[:5])}")
    for name, value in update.parameters.items():
        wanted = like[name]
        if value.shape != wanted.shape or value.dtype != wanted.dtype:
            raise TrainingError(
                f"{update.node} returned {name} as {value.dtype}{list(value.shape)}, "
                f"not {wanted.dtype}{list(wanted.shape)}"
            )
        if is_real(value) and not np.isfinite(value).all():
            raise TrainingError(f"{update.node} returned {name} with values that are not finite; it diverged")


def is_real(value: Array) -> bool:
    """Say whether a tensor holds real numbers, and not counts."""
    return bool(np.issubdtype(value.dtype, np.floating))
