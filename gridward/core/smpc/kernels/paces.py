"""How fast the parts of ring products are on a machine: what the way of every product is chosen by."""

import json
import math
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Final

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.kernels.target import has_tiles
from gridward.core.smpc.kernels.tile_intrinsics import DEPTH, ROWS
from gridward.core.smpc.ring import WORD_BYTES

_NEAR_BYTES: Final = 1 << 20
_FORMAT: Final = 1


class Way(StrEnum):
    """How a product is computed; all give the same words."""

    ALONG = "along"
    VECTORS = "vectors"
    TILES = "tiles"


@dataclass(frozen=True, slots=True)
class Paces:
    """Nanoseconds of the parts of a product on one core.

    ``along``, ``along_far``: one multiplication of ALONG, with a fixed operand that fits the second-level
    cache and one that does not. ``gather`` and ``vector``: taking one word, and one multiplication, of
    VECTORS. ``cut``, ``tile``, ``join``: cutting 16 x 64 words, multiplying 16 x 64 by 64 x 16, and joining
    the digits of 16 x 16, of TILES. ``start``: beginning VECTORS or TILES.
    """

    along: float = 0.1
    along_far: float = 0.25
    gather: float = 0.5
    vector: float = 0.083
    cut: float = 800.0
    tile: float = 240.0
    join: float = 250.0
    start: float = 2000.0


DEFAULT: Final = Paces()
"""Measured on one core of a Xeon with AMX at 2.6 GHz; other machines keep the order of the ways."""


def parts(rows: int, depth: int, columns: int) -> dict[Way, dict[str, float]]:
    """Count the parts of (rows, depth) times (depth, columns) in every way, by the names of ``Paces``."""
    macs = rows * depth * columns
    near = rows * depth * WORD_BYTES <= _NEAR_BYTES
    down, deep, across = -(-rows // ROWS), -(-depth // DEPTH), -(-columns // ROWS)
    return {
        Way.ALONG: {"along" if near else "along_far": macs},
        Way.VECTORS: {"start": 1, "gather": depth * columns, "vector": macs},
        Way.TILES: {"start": 1, "cut": across * deep, "tile": across * deep * down, "join": across * down},
    }


def estimate(paces: Paces, rows: int, depth: int, columns: int) -> dict[Way, float]:
    """Say how many nanoseconds (rows, depth) times (depth, columns) takes in every way."""
    return {
        way: sum(count * float(getattr(paces, name)) for name, count in counts.items())
        for way, counts in parts(rows, depth, columns).items()
    }


def ways() -> list[Way]:
    """List the ways that this processor has."""
    return [way for way in Way if way is not Way.TILES or has_tiles()]


@lru_cache(maxsize=4096)
def choose(paces: Paces, rows: int, depth: int, columns: int, along: bool) -> Way:
    """Give the way that should take least for one group; ALONG only where columns lie along k."""
    times = estimate(paces, rows, depth, columns)
    possible = [way for way in ways() if along or way is not Way.ALONG]
    return min(possible, key=lambda way: times[way])


def write_paces(paces: Paces) -> str:
    """Write paces as JSON."""
    return json.dumps({"format": _FORMAT, "nanoseconds": asdict(paces)}, indent=2) + "\n"


def read_paces(text: str) -> Paces:
    """Read what ``write_paces`` wrote; raises ``InvalidInputError`` where it is anything else."""
    names = {field.name for field in fields(Paces)}
    try:
        held = json.loads(text)
        if held["format"] != _FORMAT or held["nanoseconds"].keys() != names:
            raise InvalidInputError("not the paces of this version")
        values = {name: float(value) for name, value in held["nanoseconds"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as why:
        raise InvalidInputError("not a file of paces") from why
    if not all(math.isfinite(value) and value >= 0 for value in values.values()):
        raise InvalidInputError("paces are numbers of nanoseconds")
    return Paces(**values)
