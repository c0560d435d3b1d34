"""Tensors written to files, as a node stores rows."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.executors.rows import StoredRows


def stored(folder: Path, tensors: Mapping[str, Tensor], *, offset: int = 3) -> dict[str, StoredRows]:
    """Write one file a tensor; the odd offset leaves elements unaligned, as a header or a mask may."""
    places = {}
    for name, value in tensors.items():
        path = folder / name
        path.write_bytes(b"\xff" * offset + value.numpy().tobytes())
        places[name] = StoredRows(str(path), offset, NAMES[value.dtype], tuple(value.shape))
    return places
