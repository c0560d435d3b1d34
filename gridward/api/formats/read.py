"""From an uploaded file to the stored form of a dataset: checked, converted, a piece at a time.

What a hostile file can do here is be refused: nothing is unpickled, no size is believed before it is
compared with the bytes that are there, and every number of tensors, dimensions and bytes has a limit.
"""

import hashlib
import hmac
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EIO, EMFILE, ENFILE, ENOENT, ENOSPC
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError

from gridward.api.formats import arrays, tabular
from gridward.api.formats.columns import Choice, Content, Found, retyped
from gridward.api.formats.tensor_file import Spec, create
from gridward.core.errors import UploadRefusedError
from gridward.core.schemas.uploads import MediaType

ENTITY_BYTES: Final = 16
ENTITY_TENSOR: Final = "entity"
NUMBER_TENSOR: Final = "number"
_DISK_FAILS: Final = frozenset({ENOSPC, EDQUOT, EIO, EMFILE, ENFILE, ENOENT, EACCES})
# What the readers raise on damaged input; found by damaging files at random.
_UNREADABLE: Final = (
    SafetensorError,
    pa.ArrowException,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a dataset may be at most."""

    tensors: int
    size_bytes: int


def convert(
    source: Path,
    media_type: MediaType,
    target: Path,
    entity_target: Path,
    *,
    columns: list[str] | None,
    choice: Choice,
    entity_secret: bytes,
    limits: Limits,
) -> dict[str, Spec]:
    """Write the tensors of `source` to `target` and the entity ids to `entity_target`, both safetensors.

    Returns what was stored, by name. Entity ids become HMAC-SHA-256 under the node's secret, 16 bytes a row,
    of the id's text, so the same person has the same name in every dataset of this node and in none
    elsewhere; beside them a number for each, from 0, that means nothing outside the file. Raises
    `UploadRefusedError` for anything that is not a well-formed file of `media_type`.
    Cost: two passes over a table, one over arrays; memory for one piece (.npz: for its unpacked arrays).
    """
    with _refusing(media_type):
        content = retyped(_open(source, media_type, columns, choice, limits), choice)
        _check(content.specs, limits)
        _fill(content, target)
        if content.entities is not None:
            rows = next(iter(content.specs.values())).shape[0]
            _fill_entities(content.entities(), rows, entity_target, entity_secret)
    return dict(content.specs)


def find(source: Path, media_type: MediaType, limits: Limits) -> list[Found]:
    """Say what a file holds and what of it would be stored as what; tells no value.

    Raises `UploadRefusedError` as `convert` does. Cost: one pass over a table, the header of arrays.
    """
    with _refusing(media_type):
        found = _find(source, media_type, limits)
        if len(found) > limits.tensors:
            raise UploadRefusedError(_too_many(len(found), limits))
        return found


@contextmanager
def _refusing(media_type: MediaType) -> Iterator[None]:
    try:
        yield
    except OSError as why:
        # pyarrow tells of damaged pages so, zipfile seeks where a damaged entry says.
        if why.errno in _DISK_FAILS:
            raise
        raise _unreadable(media_type) from why
    except _UNREADABLE as why:
        raise _unreadable(media_type) from why


def _unreadable(media_type: MediaType) -> UploadRefusedError:
    return UploadRefusedError(f"this is not a readable file of type {media_type.value}")


def _open(
    source: Path, media_type: MediaType, columns: list[str] | None, choice: Choice, limits: Limits
) -> Content:
    if columns is not None and media_type is not MediaType.NUMPY:
        raise UploadRefusedError("only a single .npy array is cut into columns; this format names its own")
    match media_type:
        case MediaType.SAFETENSORS:
            return arrays.read_safetensors(source, choice)
        case MediaType.NUMPY:
            return arrays.read_npy(source, columns, choice)
        case MediaType.NUMPY_ZIP:
            return arrays.read_npz(source, choice, limits.size_bytes)
        case MediaType.PARQUET:
            return tabular.read_parquet(source, choice)
        case MediaType.CSV:
            return tabular.read_csv(source, choice)


def _find(source: Path, media_type: MediaType, limits: Limits) -> list[Found]:
    match media_type:
        case MediaType.SAFETENSORS:
            return arrays.find_safetensors(source)
        case MediaType.NUMPY:
            return arrays.find_npy(source)
        case MediaType.NUMPY_ZIP:
            return arrays.find_npz(source, limits.size_bytes)
        case MediaType.PARQUET:
            return tabular.find_parquet(source)
        case MediaType.CSV:
            return tabular.find_csv(source)


def _too_many(count: int, limits: Limits) -> str:
    return f"{count} tensors are more than this node's limit of {limits.tensors}"


def _check(specs: Mapping[str, Spec], limits: Limits) -> None:
    if not specs:
        raise UploadRefusedError("there is no tensor in this file")
    if len(specs) > limits.tensors:
        raise UploadRefusedError(_too_many(len(specs), limits))
    for name in specs:
        if not 1 <= len(name) <= 128 or not name.isprintable():
            raise UploadRefusedError("names of tensors have 1 to 128 printable characters")
    counts = {name: spec.shape[0] for name, spec in specs.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        told = ", ".join(f"{name}: {rows}" for name, rows in list(counts.items())[:8])
        raise UploadRefusedError(f"all tensors of a dataset share one number of rows, at least 1; got {told}")
    if sum(spec.size_bytes for spec in specs.values()) > limits.size_bytes:
        raise UploadRefusedError(f"the dataset unpacks to more than {limits.size_bytes} bytes")


def _fill(content: Content, target: Path) -> None:
    maps = create(target, content.specs)
    for name, first, rows in content.pieces():
        maps[name][first : first + len(rows)] = rows


def _fill_entities(ids: Iterator[list[object]], rows: int, target: Path, secret: bytes) -> None:
    specs = {ENTITY_TENSOR: Spec("uint8", (rows, ENTITY_BYTES)), NUMBER_TENSOR: Spec("int64", (rows,))}
    maps, numbers = create(target, specs), dict[bytes, int]()
    row = 0
    for chunk in ids:
        if row + len(chunk) > rows:
            raise UploadRefusedError("the entity column is longer than the others")
        for value in chunk:
            if value is None or value != value:
                raise UploadRefusedError("every row needs an entity; some have none")
            name = hmac.new(secret, str(value).encode(), hashlib.sha256).digest()[:ENTITY_BYTES]
            maps[ENTITY_TENSOR][row] = np.frombuffer(name, np.uint8)
            maps[NUMBER_TENSOR][row] = numbers.setdefault(name, len(numbers))
            row += 1
    if row != rows:
        raise UploadRefusedError("the entity column is shorter than the others")
