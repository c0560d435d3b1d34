"""The gates of an encrypted program: one frozen record each, with what it reads, makes and is told. Data.

Adding one is a record here, and a case in each reader: ``correlations``, ``costs``, ``dealer``, ``party``,
``fixed_reference`` and ``intervals``.

``guard`` of a gate that compares says how many bits above its ``bits`` are found out about, 0 for none: see
``gates.guard``.
"""

from dataclasses import dataclass
from typing import TypeAlias

from gridward.core.smpc.tabulation import Tabulation

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]
Piece: TypeAlias = tuple[int, int]
"""Offset and slope of a straight line with integers."""


@dataclass(frozen=True, slots=True)
class Input:
    """The client's value, which arrives as x + A."""

    sources: tuple[()]
    out: int


@dataclass(frozen=True, slots=True)
class Matmul:
    """Wire (rows, k) times weight (k, columns), or times its transpose where ``transposed``."""

    sources: tuple[int]
    out: int
    weight: int
    transposed: bool


@dataclass(frozen=True, slots=True)
class Convolution:
    """Wire (n, c, h, w) by weight (o, c / groups, kh, kw), as ``aten.convolution`` defines it."""

    sources: tuple[int]
    out: int
    weight: int
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


@dataclass(frozen=True, slots=True)
class MultiplyParameter:
    """Wire times a weight, viewed as ``shape``, element by element, broadcast."""

    sources: tuple[int]
    out: int
    weight: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Multiply:
    """Product of two wires, element by element, broadcast."""

    sources: tuple[int, int]
    out: int


@dataclass(frozen=True, slots=True)
class Square:
    """A wire times itself."""

    sources: tuple[int]
    out: int


@dataclass(frozen=True, slots=True)
class MultiplyMatrices:
    """Product of two wires as matrices: (rows, k) by (k, columns), or as many of each on a first axis."""

    sources: tuple[int, int]
    out: int


@dataclass(frozen=True, slots=True)
class AddParameter:
    """Add ``sign`` times a shared parameter, viewed as ``shape`` and broadcast."""

    sources: tuple[int]
    out: int
    parameter: int
    shape: Shape
    sign: int


@dataclass(frozen=True, slots=True)
class AddConstant:
    """Add public integers, little-endian words of ``shape``, broadcast."""

    sources: tuple[int]
    out: int
    words: bytes
    shape: Shape


@dataclass(frozen=True, slots=True)
class Add:
    """Sum of two values, each times a public integer, broadcast."""

    sources: tuple[int, int]
    out: int
    factors: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply by a public integer."""

    sources: tuple[int]
    out: int
    factor: int


@dataclass(frozen=True, slots=True)
class MultiplyConstant:
    """Multiply by public integers, little-endian words of ``shape``, broadcast."""

    sources: tuple[int]
    out: int
    words: bytes
    shape: Shape


@dataclass(frozen=True, slots=True)
class Sum:
    """Sums over some axes, which are gone."""

    sources: tuple[int]
    out: int
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class View:
    """The same words under the shape of ``out``."""

    sources: tuple[int]
    out: int


@dataclass(frozen=True, slots=True)
class Permute:
    """The axes in another order."""

    sources: tuple[int]
    out: int
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Expand:
    """Repeat axes of one, and the whole on new first axes, to the shape of ``out``."""

    sources: tuple[int]
    out: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Every ``step``-th place of one axis from ``start`` on, as many as ``out`` has."""

    sources: tuple[int]
    out: int
    axis: int
    start: int
    step: int


@dataclass(frozen=True, slots=True)
class Pick:
    """At each place the word of another one along an axis.

    ``words`` are the numbers of those, little-endian, of ``shape``, broadcast.
    """

    sources: tuple[int]
    out: int
    axis: int
    words: bytes
    shape: Shape


@dataclass(frozen=True, slots=True)
class Concatenate:
    """Values one after another along an axis."""

    sources: tuple[int, ...]
    out: int
    axis: int


@dataclass(frozen=True, slots=True)
class SumPool:
    """Sums over windows of the last two axes; padding counts as zero."""

    sources: tuple[int]
    out: int
    kernel: Pair
    stride: Pair
    padding: Pair


@dataclass(frozen=True, slots=True)
class Windows:
    """The candidates of a max-pool on a new first axis; padding repeats a value of the same window."""

    sources: tuple[int]
    out: int
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


@dataclass(frozen=True, slots=True)
class Truncate:
    """Divide by 2^shift, to the floor or one above; the rounding coin is public among the parties."""

    sources: tuple[int]
    out: int
    shift: int


@dataclass(frozen=True, slots=True)
class TruncateFaithful:
    """Divide by 2^shift to the floor, whatever the mask."""

    sources: tuple[int]
    out: int
    shift: int
    levels: int


@dataclass(frozen=True, slots=True)
class Open:
    """Turn a share into a wire with a fresh mask."""

    sources: tuple[int]
    out: int


@dataclass(frozen=True, slots=True)
class Relu:
    """The larger of x and 0, for -2^(bits-1) <= x < 2^(bits-1)."""

    sources: tuple[int]
    out: int
    bits: int
    levels: int
    guard: int = 0


@dataclass(frozen=True, slots=True)
class PairMax:
    """The larger of neighbours 0|1, 2|3, ... on the first axis; an odd last one passes.

    Differences of neighbours take at most ``bits`` bits.
    """

    sources: tuple[int]
    out: int
    bits: int
    levels: int
    guard: int = 0


@dataclass(frozen=True, slots=True)
class PairsMax:
    """The largest on the first axis, which is gone, and with ``floor`` of 0: all pairs are compared at once.

    Differences of two candidates take at most ``bits`` bits.
    """

    sources: tuple[int]
    out: int
    bits: int
    levels: int
    floor: bool
    guard: int = 0


@dataclass(frozen=True, slots=True)
class Piecewise:
    """Functions of straight pieces, one a row, on a new first axis: exact, integers in and out.

    Row r is offset + slope * x of ``rows[r][i]`` where ``thresholds[i - 1]`` <= x < ``thresholds[i]``;
    differences of x and thresholds take at most ``bits`` bits.
    """

    sources: tuple[int]
    out: int
    thresholds: tuple[int, ...]
    rows: tuple[tuple[Piece, ...], ...]
    bits: int
    levels: int
    guard: int = 0


@dataclass(frozen=True, slots=True)
class LookUp:
    """A tabulated curve of x from ``tabulation.low`` to ``tabulation.high``; the line read is a public coin.

    With two sources there is no coin: they are the cell's number and the place in the cell.
    """

    sources: tuple[int] | tuple[int, int]
    out: int
    tabulation: Tabulation


@dataclass(frozen=True, slots=True)
class Output:
    """Shares that go to the client, made fresh by a sharing of zero."""

    sources: tuple[int]
    out: int
    name: str


Gate: TypeAlias = (
    Input
    | Matmul
    | Convolution
    | MultiplyParameter
    | Multiply
    | Square
    | MultiplyMatrices
    | AddParameter
    | AddConstant
    | Add
    | Scale
    | MultiplyConstant
    | Sum
    | View
    | Permute
    | Expand
    | Slice
    | Pick
    | Concatenate
    | SumPool
    | Windows
    | Truncate
    | TruncateFaithful
    | Open
    | Relu
    | PairMax
    | Piecewise
    | LookUp
    | PairsMax
    | Output
)

Compared: TypeAlias = Relu | PairMax | PairsMax | Piecewise
"""Gates that compare a value of so many ``bits``, and may be guarded."""
