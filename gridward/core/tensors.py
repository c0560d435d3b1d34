"""Torch tensors in JSON: base64 of little-endian, row-major bytes."""

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import pybase64
import torch

from gridward.core.errors import InvalidInputError
from gridward.core.plans.dtypes import DTYPES, NAMES
from gridward.core.plans.plan import DType
from gridward.core.schemas.tensor import Tensor, TensorInfo


def info(name: str, values: torch.Tensor) -> TensorInfo:
    """Say of a tensor what may be known without its values; its dtype must be one that travels."""
    return TensorInfo.model_validate(
        {"name": name, "dtype": NAMES[values.dtype].value, "shape": list(values.shape)}
    )


def encode(name: str, values: torch.Tensor) -> Tensor:
    """Write a tensor under a name; its dtype must be one that travels."""
    array = values.detach().contiguous().numpy()
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return Tensor(**info(name, values).model_dump(), data=pybase64.b64encode(raw).decode())


def digest(values: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 in hex over names, dtypes, shapes and bytes, whatever their order."""
    whole = hashlib.sha256()
    for name, value in sorted(values.items()):
        array = value.detach().contiguous().numpy()
        whole.update(info(name, value).model_dump_json().encode())
        whole.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return whole.hexdigest()


def decode(tensor: Tensor) -> torch.Tensor:
    """Read a tensor; raises ``InvalidInputError`` if bytes and shape do not fit."""
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    if len(tensor.data) != 4 * math.ceil(dtype.itemsize * math.prod(tensor.shape) / 3):
        raise InvalidInputError(f"tensor {tensor.name!r} has not the bytes of shape {tensor.shape}")
    try:
        raw = pybase64.b64decode(tensor.data, validate=True)
    except ValueError as why:
        raise InvalidInputError(f"tensor {tensor.name!r} is not base64") from why
    if len(raw) != dtype.itemsize * math.prod(tensor.shape):
        raise InvalidInputError(f"tensor {tensor.name!r} has not the bytes of shape {tensor.shape}")
    if tensor.dtype == "bool" and raw.strip(b"\x00\x01"):
        raise InvalidInputError(f"tensor {tensor.name!r} is boolean, and holds bytes other than 0 and 1")
    array = np.frombuffer(bytearray(raw), dtype).astype(dtype.newbyteorder("="), copy=False)
    try:
        return torch.from_numpy(array.reshape(tensor.shape)).to(DTYPES[DType(tensor.dtype)])
    except (ValueError, RuntimeError) as why:
        # an empty tensor may have other sizes that no machine counts
        raise InvalidInputError(f"tensor {tensor.name!r} has a shape that fits no machine") from why
