import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gridward.client import wire
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.tensor import Tensor

ARRAYS = st.sampled_from(["float32", "float64", "int32", "int64", "uint8", "bool"]).flatmap(
    lambda dtype: hnp.arrays(
        np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    )
)


@given(ARRAYS)
def test_a_tensor_survives_the_wire_bit_for_bit(array: np.ndarray) -> None:
    before = torch.from_numpy(array)
    after = wire.decode(Tensor.model_validate_json(wire.encode("x", before).model_dump_json()))
    assert after.dtype == before.dtype
    assert after.shape == before.shape
    assert after.numpy().tobytes() == before.numpy().tobytes()


def test_bytes_on_the_wire_are_little_endian_and_row_major() -> None:
    values = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32).t()
    assert wire.encode("x", values).data == "AQAAAAMAAAACAAAABAAAAA=="


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_widens_to_float32_because_it_does_not_travel(dtype: torch.dtype) -> None:
    assert wire.encode("x", torch.ones(2, dtype=dtype)).dtype == "float32"


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="complex64 does not travel"):
        wire.encode("x", torch.ones(2, dtype=torch.complex64))


def test_a_tensor_with_a_gradient_travels_without_it() -> None:
    assert not wire.decode(wire.encode("x", torch.ones(2, requires_grad=True))).requires_grad


@pytest.mark.parametrize(
    ("shape", "data"), [([3], "AACgQAAAQEA="), ([2], "not base64!"), ([2], "AACgQAAAQEA=AA==")]
)
def test_bytes_that_do_not_fit_are_refused(shape: list[int], data: str) -> None:
    with pytest.raises(InvalidInputError, match="'x'"):
        wire.decode(Tensor(name="x", dtype="float32", shape=shape, data=data))
