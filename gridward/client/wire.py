"""Which torch tensors travel, and how they are made to."""

from typing import Final

import torch

from gridward.core import tensors
from gridward.core.errors import InvalidInputError
from gridward.core.plans.dtypes import DTYPES, NAMES
from gridward.core.plans.plan import DType
from gridward.core.schemas.tensor import Tensor

_WIDENED: Final[dict[torch.dtype, torch.dtype]] = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.int8: torch.int32,
    torch.int16: torch.int32,
}


def dtype_of(dtype: torch.dtype) -> DType:
    """Name a dtype as it travels; raises ``InvalidInputError`` for one that does not."""
    if dtype not in NAMES:
        raise InvalidInputError(
            f"{dtype} does not travel; use one of {', '.join(name.value for name in DTYPES)}"
        )
    return NAMES[dtype]


def torch_dtype(name: str) -> torch.dtype:
    """Give the dtype that travels under a name."""
    return DTYPES[DType(name)]


def travelling(values: torch.Tensor) -> torch.Tensor:
    """Give the tensor on the CPU, contiguous, detached, in a dtype that travels (half widens to float32)."""
    plain = values.detach().to("cpu").resolve_conj().resolve_neg()
    plain = plain.to(_WIDENED.get(plain.dtype, plain.dtype))
    dtype_of(plain.dtype)
    return plain.contiguous()


def encode(name: str, values: torch.Tensor) -> Tensor:
    """Write a tensor under a name, as base64 of its little-endian, row-major bytes."""
    return tensors.encode(name, travelling(values))


def decode(tensor: Tensor) -> torch.Tensor:
    """Read a tensor; raises ``InvalidInputError`` if bytes and shape do not fit."""
    return tensors.decode(tensor)
