"""Tensors are found in the file by their place, and are what was written."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gridward.api.formats.tensor_file import Spec, create, locate
from gridward.core.plans.executors.rows import MappedRows


def test_every_tensor_is_found_where_it_was_written(tmp_path: Path) -> None:
    specs = {
        "flag": Spec("bool", (7,)),  # an odd number of bytes before all others
        "image": Spec("uint8", (7, 2, 2)),
        "value": Spec("float32", (7, 3)),
        "label": Spec("int64", (7,)),
    }
    drawn = np.random.default_rng(1)
    values = {name: drawn.integers(0, 2, spec.shape).astype(spec.dtype) for name, spec in specs.items()}
    maps = create(tmp_path / "f", specs)
    for name, value in values.items():
        maps[name][:] = value
    del maps
    for name, value in values.items():
        found = MappedRows(locate(tmp_path / "f", name))
        assert torch.equal(found[torch.arange(7)], torch.from_numpy(value))


def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        locate(tmp_path / "gone", "x")
