"""What an owner hands over, as bytes of a format that nodes read: tensors, arrays, frames, files."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch

from gridward.client import wire
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.uploads import SUFFIXES, MediaType

_CHUNK: Final = 1 << 20


@runtime_checkable
class ArrowStream(Protocol):
    """A frame of any library that speaks the Arrow PyCapsule interface: pandas, polars, pyarrow, DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export as a stream of record batches."""
        ...


Column: TypeAlias = "torch.Tensor | np.ndarray[Any, Any] | Sequence[Any]"
Data: TypeAlias = "torch.Tensor | np.ndarray[Any, Any] | Mapping[str, Column] | ArrowStream | str | Path"


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes or a file, with size, hash and format."""

    content: bytes | Path
    media_type: MediaType
    size_bytes: int
    sha256: str

    def read(self, offset: int, length: int) -> bytes:
        """Give a stretch of the content."""
        if isinstance(self.content, bytes):
            return self.content[offset : offset + length]
        with self.content.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def pack(data: Data) -> Payload:
    """Turn what the owner has into bytes. Nothing is ever pickled; text columns travel as Parquet."""
    if isinstance(data, str | Path):
        return _from_file(Path(data))
    if isinstance(data, torch.Tensor):
        return _from_array(data)
    if isinstance(data, np.ndarray):
        return _from_array(_tensor("the array", data))
    if isinstance(data, Mapping):
        return _from_columns(data)
    if isinstance(data, ArrowStream):
        return _from_arrow(pa.table(data))
    raise InvalidInputError(
        f"cannot publish a {type(data).__name__}; give a torch tensor, a NumPy array, a dict of columns, a "
        "pandas or polars frame, or the path of a Parquet, CSV, .npy, .npz or .safetensors file"
    )


def pack_tensors(tensors: Mapping[str, torch.Tensor]) -> Payload:
    """Write named tensors as safetensors."""
    plain = {name: wire.travelling(values) for name, values in tensors.items()}
    return _from_bytes(safetensors.torch.save(plain), MediaType.SAFETENSORS)


def pack_tensors_at(path: Path, tensors: Mapping[str, torch.Tensor]) -> Payload:
    """Write named tensors as safetensors into a file; no copy of them in memory."""
    safetensors.torch.save_file({name: wire.travelling(values) for name, values in tensors.items()}, path)
    return _from_file(path)


def _from_array(values: torch.Tensor) -> Payload:
    sink = io.BytesIO()
    np.lib.format.write_array(sink, wire.travelling(values).numpy(), allow_pickle=False)
    return _from_bytes(sink.getvalue(), MediaType.NUMPY)


def _from_columns(columns: Mapping[str, Column]) -> Payload:
    if not columns:
        raise InvalidInputError("there are no columns to publish")
    arrays = {
        name: values if isinstance(values, torch.Tensor) else np.asarray(values)
        for name, values in columns.items()
    }
    if all(isinstance(v, torch.Tensor) or v.dtype.kind in "biuf" for v in arrays.values()):
        tensors = {name: wire.travelling(_tensor(name, values)) for name, values in arrays.items()}
        if any(values.ndim != 1 for values in tensors.values()):
            return pack_tensors(tensors)
        arrays = {name: values.numpy() for name, values in tensors.items()}
    if any(values.ndim != 1 for values in arrays.values()):
        raise InvalidInputError(
            "text columns go with one-dimensional columns only; encode labels as integers"
        )
    flat = {n: v.numpy() if isinstance(v, torch.Tensor) else v for n, v in arrays.items()}
    try:
        return _from_arrow(pa.table({name: pa.array(values) for name, values in flat.items()}))
    except pa.ArrowInvalid as why:
        raise InvalidInputError(f"the columns do not make a table: {why}") from why


def _from_arrow(table: pa.Table) -> Payload:
    hidden = [name for name in table.column_names if name.startswith("__index_level_")]
    sink = pa.BufferOutputStream()
    pq.write_table(table.drop_columns(hidden).replace_schema_metadata(None), sink)
    return _from_bytes(sink.getvalue().to_pybytes(), MediaType.PARQUET)


def _from_file(path: Path) -> Payload:
    media_type = SUFFIXES.get(path.suffix.lower())
    if media_type is None:
        raise InvalidInputError(
            f"{path.name}: not a format that nodes read; use {', '.join(SUFFIXES)} (pickle is never read)"
        )
    if not path.is_file():
        raise InvalidInputError(f"there is no file {path}")
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return Payload(path, media_type, path.stat().st_size, digest.hexdigest())


def _from_bytes(content: bytes, media_type: MediaType) -> Payload:
    return Payload(content, media_type, len(content), hashlib.sha256(content).hexdigest())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _tensor(name: str, values: torch.Tensor | np.ndarray[Any, Any]) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values
    if values.dtype.kind not in "biuf":
        raise InvalidInputError(f"{name!r} holds {values.dtype}; only numbers and booleans make tensors")
    native = values.astype(values.dtype.newbyteorder("="), copy=not values.flags.writeable)
    try:
        return torch.from_numpy(np.ascontiguousarray(native))
    except TypeError as why:
        raise InvalidInputError(f"{name!r} holds {values.dtype}, which does not travel") from why
