"""Whose the rows of a dataset are: numbers of entities, as tallies take them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from gridward.api.formats.read import NUMBER_TENSOR
from gridward.core.errors import ObjectNotFoundError


def entities_of(path: Path) -> tuple[int, int]:
    """Give how many entities a file of ids names, and the rows of the one that has most."""
    rows = torch.bincount(_numbers(path))
    return len(rows), int(rows.max())


def numbers(files: Mapping[str, Path | None]) -> dict[str, torch.Tensor]:
    """Number the entity of each row, for each table that has a file.

    Raises ``ObjectNotFoundError`` if one was deleted.
    """
    try:
        return {table: _numbers(path) for table, path in files.items() if path is not None}
    except (FileNotFoundError, SafetensorError) as why:
        raise ObjectNotFoundError("a source was deleted while the computation began") from why


def _numbers(path: Path) -> torch.Tensor:
    with safe_open(path, framework="pt") as file:
        found = file.get_tensor(NUMBER_TENSOR)
    if not isinstance(found, torch.Tensor):
        raise TypeError("safetensors gave no tensor")
    return found
