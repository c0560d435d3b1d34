"""Tensors in JSON: base64 of little-endian, row-major bytes; never number lists, never pickle."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field

DTypeName: TypeAlias = Literal["float32", "float64", "int32", "int64", "uint8", "bool"]
StoredAs: TypeAlias = Literal["float32", "float64", "int32", "int64", "uint8", "bool", "skip"]
Extent: TypeAlias = Annotated[int, Field(ge=0, le=2**48, json_schema_extra={"format": "int64"})]


class TensorInfo(BaseModel):
    """What may be known of a tensor without its values."""

    name: str = Field(max_length=128, description="Column or tensor name.")
    dtype: DTypeName
    shape: list[Extent] = Field(max_length=8, description="Sizes, outermost first.")


class Tensor(TensorInfo):
    """A tensor with its values."""

    data: str = Field(description="Base64 (RFC 4648) of the little-endian, row-major bytes.")
