"""Safetensors files whose tensors need not fit into memory: written piece by piece, found by their place.

The layout is the published one: 8 bytes of little-endian header length, a JSON header, row-major bytes
(https://github.com/huggingface/safetensors, "Format").
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridward.core.plans.executors.rows import StoredRows
from gridward.core.plans.plan import DType
from gridward.core.schemas.tensor import DTypeName

_ALIGNMENT: Final = 64
_CODES: Final[dict[DTypeName, str]] = {
    "float32": "F32",
    "float64": "F64",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "bool": "BOOL",
}
_DTYPES: Final = {code: DType(name) for name, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class Spec:
    """What a stored tensor will be; the first size of `shape` counts rows."""

    dtype: DTypeName
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def create(path: Path, specs: Mapping[str, Spec]) -> dict[str, NDArray[np.generic]]:
    """Make a file of zeros with these tensors and return them as writable maps; flush by dropping them."""
    header: dict[str, object] = {}
    offset = 0
    for name, spec in specs.items():
        header[name] = {
            "dtype": _CODES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, offset + spec.size_bytes],
        }
        offset += spec.size_bytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    start = 8 + len(text)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(start + offset)
    maps: dict[str, NDArray[np.generic]] = {}
    for name, spec in specs.items():
        maps[name] = np.memmap(path, np.dtype(spec.dtype), "r+", start, spec.shape)
        start += spec.size_bytes
    return maps


def locate(path: Path, name: str) -> StoredRows:
    """Say where a tensor with rows lies in a file that ``create`` made; reads its header only.

    Raises ``FileNotFoundError`` if the file is gone.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        found = json.loads(file.read(length))[name]
    start, _ = found["data_offsets"]
    return StoredRows(str(path), 8 + length + start, _DTYPES[found["dtype"]], tuple(found["shape"]))
