"""Updates as words modulo 2^32: what bounds them, where each number lies, and how a sum of them is read.

A contributor's vector: rows * update of every real tensor in fixed point, the growth of every integer tensor
as it is, then three counts: was it clipped (0 or 1), and its rows in two words of 24 bits.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.core.errors import InvalidInputError, OutOfRangeError, ProtocolError
from gridward.core.smpc.kernels.seam import ShortWords

Array: TypeAlias = NDArray[Any]

WIRE_SHORT: Final = np.dtype("<u4")
SHORT_BYTES: Final = 4
COUNTS: Final = 3
MOST_CONTRIBUTORS: Final = 64
ROWS_BITS: Final = 48
MOST_FRACTION_BITS: Final = 64
_LARGEST: Final = 2**31 - 1
_LIMB_BITS: Final = 24
_LIMB: Final = (1 << _LIMB_BITS) - 1


@dataclass(frozen=True, slots=True)
class Terms:
    """Bounds that all contributors keep, so that no sum of words wraps around.

    ``clip``: the largest L2 norm of an update over all its real tensors, and so the largest element.
    ``most_rows``: the largest weight. Error of a mean: below 2^-``fraction_bits`` / 2 of each contributor,
    divided by all rows together; see ``error``.
    """

    contributors: int
    clip: float
    most_rows: int
    fraction_bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.contributors <= MOST_CONTRIBUTORS:
            raise InvalidInputError(f"a sum of updates has 2 to {MOST_CONTRIBUTORS} contributors")
        if not (0 < self.clip < math.inf and 0 < self.most_rows < 1 << ROWS_BITS):
            raise InvalidInputError("clip and most_rows are above 0, and finite")
        if math.ldexp(self.most_rows * self.clip, self.fraction_bits) > self.limit:
            raise InvalidInputError(
                f"{self.contributors} updates of norm {self.clip:g} times {self.most_rows} rows could wrap "
                f"around at {self.fraction_bits} fraction bits; take fewer"
            )

    @staticmethod
    def finest(contributors: int, clip: float, most_rows: int) -> "Terms":
        """Take as many fraction bits as fit, up to 64; negative ones where weights are large."""
        room = _LARGEST // contributors / (most_rows * clip)
        return Terms(contributors, clip, most_rows, min(math.frexp(room)[1] - 1, MOST_FRACTION_BITS))

    @property
    def limit(self) -> int:
        """The largest magnitude of one contributor's word."""
        return _LARGEST // self.contributors

    def error(self, contributors: int, rows: int) -> float:
        """Bound how far the mean of so many updates, of so many rows together, is off by rounding."""
        return contributors * math.ldexp(0.5, -self.fraction_bits) / rows


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of the update."""

    name: str
    real: bool
    shape: tuple[int, ...]

    @property
    def words(self) -> int:
        """How many words it takes."""
        return prod(self.shape)


def words_of(slots: Sequence[Slot]) -> int:
    """Count the words of a contribution."""
    return sum(slot.words for slot in slots) + COUNTS


def places(slots: Sequence[Slot]) -> Iterator[tuple[Slot, int]]:
    """Give every tensor and where its words begin."""
    start = 0
    for slot in slots:
        yield slot, start
        start += slot.words


def norm_of(update: Mapping[str, Array], slots: Sequence[Slot]) -> float:
    """Give the L2 norm over all real tensors, in float64; raises ``OutOfRangeError`` if it is not finite."""
    squares = [np.square(update[slot.name], dtype=np.float64).sum() for slot in slots if slot.real]
    norm = math.sqrt(sum(map(float, squares)))
    if not math.isfinite(norm):
        raise OutOfRangeError("the update is not finite, or too large to be added up")
    return norm


def factor_of(terms: Terms, rows: int, norm: float) -> float:
    """Say by what an update is multiplied to become integers: weight, clip and scale."""
    if not 0 < rows <= terms.most_rows:
        raise OutOfRangeError(f"its dataset has more than the {terms.most_rows} rows of the agreed bound")
    return math.ldexp(rows * min(1.0, terms.clip / norm if norm else 1.0), terms.fraction_bits)


def counts_of(terms: Terms, rows: int, norm: float) -> NDArray[np.int64]:
    """Give the three counts of a contribution."""
    return np.array([norm > terms.clip, rows & _LIMB, rows >> _LIMB_BITS], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Total:
    """What a sum of updates tells: their mean by rows, the mean growth of integers, and two counts."""

    rows: int
    clipped: int
    mean: dict[str, NDArray[np.float64]]


def read(words: ShortWords, slots: Sequence[Slot], terms: Terms, contributors: int) -> Total:
    """Read the sum of so many contributions.

    Raises ``ProtocolError`` where its counts are none: some share was wrong, and all else is noise.
    """
    signed = words.view(np.int32)
    clipped, low, high = (int(value) for value in signed[-COUNTS:])
    rows = low + (high << _LIMB_BITS)
    if not (0 <= clipped <= contributors and min(low, high) >= 0):
        raise ProtocolError("the shares do not add up: one of them was wrong")
    if not contributors <= rows <= contributors * terms.most_rows:
        raise ProtocolError("the shares do not add up: one of them was wrong")
    unit = math.ldexp(1.0, -terms.fraction_bits) / rows
    reals = signed.astype(np.float64)
    mean = {
        slot.name: reals[at : at + slot.words].reshape(slot.shape) * (unit if slot.real else 1 / contributors)
        for slot, at in places(slots)
    }
    return Total(rows, clipped, mean)
