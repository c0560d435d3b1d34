"""Element types of plans and of torch, side by side."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch

from gridward.core.plans.plan import DType

DTYPES: Final[Mapping[DType, torch.dtype]] = MappingProxyType(
    {
        DType.FLOAT32: torch.float32,
        DType.FLOAT64: torch.float64,
        DType.INT32: torch.int32,
        DType.INT64: torch.int64,
        DType.UINT8: torch.uint8,
        DType.BOOL: torch.bool,
    }
)
NAMES: Final[Mapping[torch.dtype, DType]] = MappingProxyType({value: key for key, value in DTYPES.items()})
