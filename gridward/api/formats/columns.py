"""A file's content as the rest of the reader sees it: named columns or tensors, read piece by piece."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.api.formats.tensor_file import Spec
from gridward.core.errors import UploadRefusedError
from gridward.core.schemas.tensor import DTypeName

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
