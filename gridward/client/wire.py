"""Torch tensors in JSON: base64 of little-endian, row-major bytes."""

import math
from typing import Final

import numpy as np
import pybase64
import torch

from gridward.core.errors import InvalidInputError
from gridward.core.schemas.tensor import DTypeName, Tensor

DTYPES: Final[dict[DTypeName, torch.dtype]] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
_NAMES: Final[dict[torch.dtype, DTypeName]] = {dtype: name for name, dtype in DTYPES.items()}
_WIDENED: Final[dict[torch.dtype, torch.dtype]] = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.int8: torch.int32,
    torch.int16: torch.int32,
}


def dtype_name(dtype: torch.dtype) -> DTypeName:
    """Name a dtype as it travels; raises ``InvalidInputError`` for one that does not."""
    if dtype not in _NAMES:
        raise InvalidInputError(f"{dtype} does not travel; use one of {', '.join(DTYPES)}")
    return _NAMES[dtype]


def travelling(values: torch.Tensor) -> torch.Tensor:
    """Give the tensor on the CPU, contiguous, detached, in a dtype that travels (half widens to float32)."""
    plain = values.detach().to("cpu").resolve_conj().resolve_neg()
    plain = plain.to(_WIDENED.get(plain.dtype, plain.dtype))
    dtype_name(plain.dtype)
    return plain.contiguous()


def encode(name: str, values: torch.Tensor) -> Tensor:
    """Write a tensor under a name."""
    plain = travelling(values)
    array = plain.numpy()
    raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return Tensor(
        name=name,
        dtype=dtype_name(plain.dtype),
        shape=list(plain.shape),
        data=pybase64.b64encode(raw).decode(),
    )


def decode(tensor: Tensor) -> torch.Tensor:
    """Read a tensor; raises ``InvalidInputError`` if bytes and shape do not fit."""
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    try:
        raw = pybase64.b64decode(tensor.data, validate=True)
    except ValueError as why:
        raise InvalidInputError(f"tensor {tensor.name!r} is not base64") from why
    if len(raw) != dtype.itemsize * math.prod(tensor.shape):
        raise InvalidInputError(f"tensor {tensor.name!r} has {len(raw)} bytes, not those of {tensor.shape}")
    array = np.frombuffer(bytearray(raw), dtype=dtype).astype(dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(array.reshape(tensor.shape))
