"""CSV and Parquet: two passes over record batches, the first for types and missing values."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from gridward.api.formats.columns import WIDER, Content, Piece
from gridward.api.formats.tensor_file import Spec
from gridward.core.errors import UploadRefusedError
from gridward.core.schemas.tensor import DTypeName

Batches: TypeAlias = Callable[[], Iterator[Any]]
_ROWS: Final = 65_536


def read_csv(path: Path, entity: str | None) -> Content:
    """Read a CSV file with a header line.

    Types are those of its first megabyte; integers become floats if later rows say so.
    """
    schema = _csv_schema(path)
    types = {field.name: field.type for field in schema}
    if entity in types:
        types[entity] = pa.string()
    try:
        return _content(_csv_batches(path, types), entity)
    except pa.ArrowInvalid:
        floats = {name: pa.float64() if pa.types.is_integer(kind) else kind for name, kind in types.items()}
        return _content(_csv_batches(path, floats), entity)


def read_parquet(path: Path, entity: str | None) -> Content:
    """Read a Parquet file, a batch of rows at a time."""

    def batches() -> Iterator[Any]:
        with pa.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(_ROWS)

    return _content(batches, entity)


def _csv_schema(path: Path) -> Any:  # noqa: ANN401 (pyarrow is untyped)
    with pa.csv.open_csv(path) as reader:
        return reader.schema


def _csv_batches(path: Path, types: dict[str, Any]) -> Batches:
    def batches() -> Iterator[Any]:
        with pa.csv.open_csv(path, convert_options=pa.csv.ConvertOptions(column_types=types)) as reader:
            yield from reader

    return batches


def _content(batches: Batches, entity: str | None) -> Content:
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
    if entity is not None and entity not in kinds:
        raise UploadRefusedError(f"there is no column '{entity}' to name the entities")
    specs = {
        name: Spec(_dtype(name, kind, missing[name]), (rows,))
        for name, kind in kinds.items()
        if name != entity
    }
    return Content(specs, lambda: _pieces(batches, specs), _entities(batches, entity) if entity else None)


def _dtype(name: str, kind: Any, missing: bool) -> DTypeName:  # noqa: ANN401 (pyarrow is untyped)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise UploadRefusedError(
            f"column '{name}' holds {kind}; Gridward stores numbers and booleans: encode it or leave it out"
        )
    dtype = WIDER.get("bool" if pa.types.is_boolean(kind) else np.dtype(kind.to_pandas_dtype()).name)
    if dtype is None:
        raise UploadRefusedError(f"column '{name}' holds {kind}, which has no stored type: make it int64")
    if missing and dtype != "float32":
        return "float64"
    return dtype


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
