"""Names of results: the same for the same values on one node, and no key to guess them by."""

import hashlib
from pathlib import Path

import torch

from gridward.api.result_digests import digest
from gridward.server.keys import load, make


def test_a_result_has_one_name_on_a_node_and_another_elsewhere(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    here, there = load(tmp_path / "a"), load(tmp_path / "b")
    values = {"y0": torch.tensor([1.0, 2.0]), "y1": torch.tensor(3)}
    name = digest(here, values)
    assert name == digest(here, dict(reversed(values.items())))
    assert name != digest(there, values)
    assert len(name) == 64


def test_every_part_of_a_result_is_in_its_name(tmp_path: Path) -> None:
    make(tmp_path / "a")
    keys = load(tmp_path / "a")
    names = {
        digest(keys, values)
        for values in (
            {"y": torch.tensor([1.0, 2.0])},
            {"y": torch.tensor([1.0, 2.5])},
            {"x": torch.tensor([1.0, 2.0])},
            {"y": torch.tensor([[1.0, 2.0]])},
            {"y": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        )
    }
    assert len(names) == 5


def test_whoever_tries_all_counts_finds_none(tmp_path: Path) -> None:
    make(tmp_path / "a")
    name = digest(load(tmp_path / "a"), {"y": torch.tensor(17)})
    tried = {hashlib.sha256(torch.tensor(n).numpy().tobytes()).hexdigest() for n in range(100)}
    assert name not in tried
