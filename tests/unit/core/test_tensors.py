"""Tensors in JSON come back bit for bit, and nothing else gets in."""

import base64

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gridward.core import tensors
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.tensor import Tensor

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@given(ARRAYS)
def test_decode_undoes_encode_bit_for_bit(array: object) -> None:
    value = torch.as_tensor(array)
    found = tensors.decode(tensors.encode("x", value))
    assert (found.dtype, found.shape) == (value.dtype, value.shape)
    assert found.numpy().tobytes() == value.numpy().tobytes()


def test_the_bytes_are_little_endian_and_row_major() -> None:
    said = tensors.encode("x", torch.tensor([[1, 2], [3, 4]], dtype=torch.int32).T)
    assert base64.b64decode(said.data) == b"\1\0\0\0\3\0\0\0\2\0\0\0\4\0\0\0"


@pytest.mark.parametrize(
    "bad",
    [
        {"shape": [3], "data": "AAAAAA=="},
        {"shape": [1], "data": "AAAA===="},
        {"shape": [1], "data": "*AAAAA=="},
        {"shape": [2**47, 2**47], "data": ""},
        {"shape": [0, 2**47, 2**47], "data": ""},
        {"dtype": "bool", "shape": [1], "data": "Ag=="},
    ],
)
def test_what_is_not_the_tensor_that_it_claims_to_be_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        tensors.decode(Tensor.model_validate({"name": "x", "dtype": "float32"} | bad))
