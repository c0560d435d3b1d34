"""A file's content as the rest of the reader sees it: named columns or tensors, read piece by piece."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.api.formats.tensor_file import Spec
from gridward.core.errors import UploadRefusedError
from gridward.core.schemas.tensor import DTypeName, StoredAs

Piece: TypeAlias = tuple[str, int, NDArray[np.generic]]
PIECE_BYTES: Final = 2**24

WIDER: Final[dict[str, DTypeName]] = {
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
    "int8": "int32",
    "int16": "int32",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "int32",
    "uint32": "int64",
    "bool": "bool",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a file is stored: `types` says as what, or to skip it; with `only` nothing but these."""

    entity: str | None
    types: Mapping[str, StoredAs]
    only: frozenset[str] | None = None

    def takes(self, name: str) -> bool:
        """Say whether a column's values are stored; those that name the entities are not."""
        wanted = self.only is None or name in self.only
        return wanted and name != self.entity and self.types.get(name) != "skip"

    def casts(self) -> dict[str, DTypeName]:
        """Return the types that columns shall have which are stored."""
        kept = {name: kind for name, kind in self.types.items() if self.takes(name)}
        return {name: kind for name, kind in kept.items() if kind != "skip"}


@dataclass(frozen=True, slots=True)
class Found:
    """A column as the file has it: `dtype` is what it would be stored as, None if it cannot be."""

    name: str
    kind: str
    dtype: DTypeName | None
    shape: tuple[int, ...]
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds. `pieces` yields (name, first row, rows) for every spec; `entities` the raw ids."""

    specs: Mapping[str, Spec]
    pieces: Callable[[], Iterator[Piece]]
    entities: Callable[[], Iterator[list[object]]] | None = None


def stored_dtype(name: str, dtype: np.dtype[np.generic]) -> DTypeName:
    """Return the stored element type for one in a file, or refuse the tensor by name."""
    wider = WIDER.get(dtype.name)
    if wider is None:
        raise UploadRefusedError(
            f"'{name}' holds {dtype.name}; Gridward stores {', '.join(sorted(set(WIDER.values())))}"
        )
    return wider


def row_steps(shape: tuple[int, ...], itemsize: int) -> Iterator[slice]:
    """Cut rows into slices of about `PIECE_BYTES`."""
    row_bytes = max(1, int(np.prod(shape[1:], dtype=np.int64)) * itemsize)
    step = max(1, PIECE_BYTES // row_bytes)
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


def retyped(content: Content, choice: Choice) -> Content:
    """Return the content with the chosen types. Values that a type cannot hold are refused as they come."""
    casts = choice.casts()
    missing = sorted(casts.keys() - content.specs.keys())
    if missing:
        raise UploadRefusedError(f"there is no column '{missing[0]}' to be stored as {casts[missing[0]]}")
    specs = {name: Spec(casts.get(name, spec.dtype), spec.shape) for name, spec in content.specs.items()}

    def pieces() -> Iterator[Piece]:
        for name, first, rows in content.pieces():
            yield name, first, _cast(name, rows, casts[name]) if name in casts else rows

    return replace(content, specs=specs, pieces=pieces)


def _cast(name: str, rows: NDArray[np.generic], dtype: DTypeName) -> NDArray[np.generic]:
    """Only a float may lose digits, and none may become infinite."""
    with np.errstate(all="ignore"):
        cast = rows.astype(dtype)
        if rows.dtype.kind == "f" and cast.dtype.kind == "f":
            held = np.array_equal(np.isfinite(cast), np.isfinite(rows))
        else:
            held = np.array_equal(cast.astype(rows.dtype), rows)
    if not held:
        raise UploadRefusedError(f"column '{name}' holds values that are not {dtype}; choose another type")
    return cast
