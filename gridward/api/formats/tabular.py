"""CSV and Parquet: two passes over record batches, the first for types and missing values."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from gridward.api.formats.columns import WIDER, Choice, Content, Found, Piece
from gridward.api.formats.tensor_file import Spec
from gridward.core.errors import UploadRefusedError
from gridward.core.schemas.tensor import DTypeName

Batches: TypeAlias = Callable[[], Iterator[Any]]
Read = TypeVar("Read")
_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one pass over a table finds: its rows, and each column's type and whether values are missing."""

    rows: int
    kinds: dict[str, Any]
    missing: dict[str, bool]


def read_csv(path: Path, choice: Choice) -> Content:
    """Read a CSV file with a header line.

    Types are those of its first megabyte; integers become floats if later rows say so.
    """
    return _of_csv(path, choice.entity, lambda batches: _content(batches, choice))


def read_parquet(path: Path, choice: Choice) -> Content:
    """Read a Parquet file, a batch of rows at a time."""
    return _content(_parquet_batches(path), choice)


def find_csv(path: Path) -> list[Found]:
    """Say what a CSV file holds. Cost: one pass."""
    return _of_csv(path, None, _found)


def find_parquet(path: Path) -> list[Found]:
    """Say what a Parquet file holds. Cost: one pass."""
    return _found(_parquet_batches(path))


def _of_csv(path: Path, entity: str | None, read: Callable[[Batches], Read]) -> Read:
    types = {field.name: field.type for field in _csv_schema(path)}
    if entity in types:
        types[entity] = pa.string()
    try:
        return read(_csv_batches(path, types))
    except pa.ArrowInvalid:
        floats = {name: pa.float64() if pa.types.is_integer(kind) else kind for name, kind in types.items()}
        return read(_csv_batches(path, floats))


def _parquet_batches(path: Path) -> Batches:
    def batches() -> Iterator[Any]:
        with pa.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(_ROWS)

    return batches


def _csv_schema(path: Path) -> Any:  # noqa: ANN401 (pyarrow is untyped)
    with pa.csv.open_csv(path) as reader:
        return reader.schema


def _csv_batches(path: Path, types: dict[str, Any]) -> Batches:
    def batches() -> Iterator[Any]:
        with pa.csv.open_csv(path, convert_options=pa.csv.ConvertOptions(column_types=types)) as reader:
            yield from reader

    return batches


def _scan(batches: Batches) -> _Scan:
    rows = 0
    missing: dict[str, bool] = {}
    kinds: dict[str, Any] = {}
    for batch in batches():
        if not kinds:
            kinds = {field.name: field.type for field in batch.schema}
            if len(kinds) != len(batch.schema):
                raise UploadRefusedError("two columns have the same name")
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            missing[name] = missing.get(name, False) or column.null_count > 0
        rows += batch.num_rows
    return _Scan(rows, kinds, missing)


def _found(batches: Batches) -> list[Found]:
    scan = _scan(batches)
    return [
        Found(name, str(kind), _stored(kind, scan.missing[name]), (scan.rows,), scan.missing[name])
        for name, kind in scan.kinds.items()
    ]


def _content(batches: Batches, choice: Choice) -> Content:
    scan, entity = _scan(batches), choice.entity
    if entity is not None and entity not in scan.kinds:
        raise UploadRefusedError(f"there is no column '{entity}' to name the entities")
    specs = {
        name: Spec(_dtype(name, kind, scan.missing[name]), (scan.rows,))
        for name, kind in scan.kinds.items()
        if choice.takes(name)
    }
    return Content(specs, lambda: _pieces(batches, specs), _entities(batches, entity) if entity else None)


def _dtype(name: str, kind: Any, missing: bool) -> DTypeName:  # noqa: ANN401 (pyarrow is untyped)
    if not _is_number(kind):
        raise UploadRefusedError(
            f"column '{name}' holds {kind}; Gridward stores numbers and booleans: encode it or leave it out"
        )
    dtype = _stored(kind, missing)
    if dtype is None:
        raise UploadRefusedError(f"column '{name}' holds {kind}, which has no stored type: make it int64")
    return dtype


def _stored(kind: Any, missing: bool) -> DTypeName | None:  # noqa: ANN401 (pyarrow is untyped)
    if not _is_number(kind):
        return None
    dtype = WIDER.get("bool" if pa.types.is_boolean(kind) else np.dtype(kind.to_pandas_dtype()).name)
    return "float64" if missing and dtype not in ("float32", None) else dtype


def _is_number(kind: Any) -> bool:  # noqa: ANN401 (pyarrow is untyped)
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _pieces(batches: Batches, specs: dict[str, Spec]) -> Iterator[Piece]:
    row = 0
    for batch in batches():
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name in specs:
                wanted = column.cast(pa.float64()) if specs[name].dtype == "float64" else column
                yield name, row, wanted.to_numpy(zero_copy_only=False).astype(specs[name].dtype)
        row += batch.num_rows


def _entities(batches: Batches, entity: str) -> Callable[[], Iterator[list[object]]]:
    def values() -> Iterator[list[object]]:
        for batch in batches():
            yield batch.column(entity).to_pylist()

    return values
