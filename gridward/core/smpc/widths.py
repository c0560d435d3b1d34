"""How few bits each line of a plan may be compared in: proved by bounds, or seen of samples with a margin."""

from collections.abc import Iterable, Mapping
from typing import Final

from numpy.typing import ArrayLike

from gridward.core.smpc.fixed_reference import extremes
from gridward.core.smpc.intervals import Interval, bounds
from gridward.core.smpc.kernels import reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.lowering import LEAST_BITS
from gridward.core.smpc.program import Program, StepWidth

MARGIN_BITS: Final = 2
"""Values four times as large as any that was seen still fit."""

Bits = Mapping[str, int]
"""How many bits what is compared of a line takes, at the program's fraction bits."""


def proved_bits(program: Program, parameters: Mapping[str, ArrayLike] | None = None) -> dict[str, int]:
    """Give the bits that no query within the declared range can exceed, see ``intervals``.

    With ``parameters`` whoever learns the result learns something of them: how large they are together, to a
    power of two, a line. ``program`` is compiled without widths; raises as ``encode_parameter``.
    """
    found = bounds(program, parameters)
    return _by_line(program, ((register, found[register]) for register in program.compared))


def seen_bits(
    program: Program,
    parameters: Mapping[str, ArrayLike],
    values: ArrayLike,
    kernels: Kernels = reference,
) -> dict[str, int]:
    """Give the bits that samples take, without a margin; as many samples as the program's batch.

    Raises ``OutOfRangeError`` where a sample leaves the program's own width.
    """
    found = extremes(program, parameters, values, kernels)
    return _by_line(program, ((register, Interval(*ends)) for register, ends in found.items()))


def most(parts: Iterable[Bits]) -> dict[str, int]:
    """Give the most bits of each line over several runs."""
    found: dict[str, int] = {}
    for part in parts:
        for line, bits in part.items():
            found[line] = max(bits, found.get(line, LEAST_BITS))
    return found


def narrowed(
    width: int, proved: Bits, seen: Bits | None = None, margin_bits: int = MARGIN_BITS
) -> tuple[StepWidth, ...]:
    """Give each line the fewer of the bits that are proved and those seen, with the margin.

    A line that neither narrows below ``width`` keeps it.
    """
    if margin_bits < 1:
        raise ValueError(f"a margin of {margin_bits} bits leaves no room for roundings; take 1 or more")
    chosen = [
        StepWidth(line, bits, proved=True)
        if seen is None or bits <= seen[line] + margin_bits
        else StepWidth(line, seen[line] + margin_bits, proved=False)
        for line, bits in proved.items()
    ]
    return tuple(item for item in chosen if item.bits < width)


def _by_line(program: Program, found: Iterable[tuple[int, Interval]]) -> dict[str, int]:
    return most(
        {program.origins[register]: interval.bits - program.registers[register].scale + program.fraction_bits}
        for register, interval in found
    )
