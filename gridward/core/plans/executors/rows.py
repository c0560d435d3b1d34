"""Rows that stay on disk: named by file and place, mapped for reading, copied a batch at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridward.core.errors import ObjectNotFoundError
from gridward.core.plans.dtypes import DTYPES
from gridward.core.plans.plan import DType


class Rows(Protocol):
    """What batches are gathered from: a tensor, or ``MappedRows``. The first size counts rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, rows first."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the elements."""

    def __getitem__(self, picked: Tensor, /) -> Tensor:
        """Copy the rows of these numbers, in this order."""


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Where rows lie: little-endian, row-major bytes of a file from ``offset`` on. Holds no value."""

    path: str
    offset: int
    dtype: DType
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what names no rows."""
        if not self.shape or min(self.shape) < 0 or self.offset < 0:
            raise ValueError("stored rows have a first size, and no size or offset below zero")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Self:
        """Read what ``dataclasses.asdict`` and JSON made of one."""
        return cls(raw["path"], raw["offset"], DType(raw["dtype"]), tuple(raw["shape"]))

    def first(self, count: int) -> Tensor:
        """Give so many rows without their values, where shapes are looked at."""
        return torch.empty((count, *self.shape[1:]), dtype=DTYPES[self.dtype], device="meta")


class MappedRows:
    """Stored rows, mapped for reading: a batch costs its own bytes, and pages that the system takes back.

    The mapping is read-only and shared, so that no limit on a process' own memory counts it, a table may be
    larger than the machine's memory, and a file that is deleted later stays readable.
    """

    def __init__(self, stored: StoredRows) -> None:
        """Map the file.

        Raises:
            ObjectNotFoundError: it is gone.
        """
        self.shape = stored.shape
        self.dtype = DTYPES[stored.dtype]
        self._element = np.dtype(stored.dtype.value).newbyteorder("<")
        # As bytes: whatever lies before them in the file, elements need not be aligned.
        sizes = (stored.shape[0], math.prod(stored.shape[1:]) * self._element.itemsize)
        self._bytes = _mapped(stored, sizes) if math.prod(sizes) else np.empty(sizes, np.uint8)

    def __getitem__(self, picked: Tensor, /) -> Tensor:
        """Copy the rows of these numbers, in this order."""
        shape = (len(picked), *self.shape[1:])
        taken = np.take(self._bytes, picked.numpy(), axis=0)
        if not taken.size:
            return torch.empty(shape, dtype=self.dtype)
        native = taken.reshape(-1).view(self._element).astype(self._element.newbyteorder("="), copy=False)
        return torch.from_numpy(native).reshape(shape)


def _mapped(stored: StoredRows, sizes: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        return np.asarray(np.memmap(stored.path, np.uint8, "r", stored.offset, sizes))
    except FileNotFoundError as why:
        raise ObjectNotFoundError(
            "the rows were deleted or replaced before they were needed; start again"
        ) from why
