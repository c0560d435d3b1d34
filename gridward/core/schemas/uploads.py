"""Resumable uploads: announce size and hash, send chunks, finished when the hash fits."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.tensor import DTypeName, Extent


class MediaType(StrEnum):
    """Formats that a node reads. Pickle is not one and never will be."""

    SAFETENSORS = "application/vnd.safetensors"
    NUMPY = "application/x-npy"
    NUMPY_ZIP = "application/x-npz"
    PARQUET = "application/vnd.apache.parquet"
    CSV = "text/csv"


SUFFIXES: Final[Mapping[str, MediaType]] = {
    ".safetensors": MediaType.SAFETENSORS,
    ".npy": MediaType.NUMPY,
    ".npz": MediaType.NUMPY_ZIP,
    ".parquet": MediaType.PARQUET,
    ".pq": MediaType.PARQUET,
    ".csv": MediaType.CSV,
}


class UploadIn(BaseModel):
    """Announce an upload."""

    model_config = ConfigDict(extra="forbid")

    size_bytes: int = Field(ge=1, le=2**44, json_schema_extra={"format": "int64"})
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hex SHA-256 of the whole content.")
    media_type: MediaType


class UploadOut(BaseModel):
    """Where an upload stands; resume at `received_bytes`."""

    id: str
    size_bytes: int = Field(json_schema_extra={"format": "int64"})
    received_bytes: int = Field(json_schema_extra={"format": "int64"})
    chunk_bytes: int = Field(
        description="Largest chunk that the node accepts.", json_schema_extra={"format": "int32"}
    )
    complete: bool


class ColumnFound(BaseModel):
    """A column or tensor as an uploaded file has it. Never values."""

    name: str
    kind: str = Field(description="What the file says, such as `int64` or `string`.")
    dtype: DTypeName | None = Field(
        description="What it would be stored as. Null: it cannot be; skip it, or let it name the entities."
    )
    shape: list[Extent] = Field(description="Sizes, outermost first.")
    missing: bool = Field(description="Some rows have no value.")


class UploadContent(BaseModel):
    """What a complete upload holds."""

    columns: list[ColumnFound]
