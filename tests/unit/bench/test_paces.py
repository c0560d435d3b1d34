from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from gridward.bench import paces, ring_matmul
from gridward.bench.measure import Options
from gridward.bench.paces import SHAPES, solved
from gridward.bench.ring_matmul import Shape
from gridward.core.smpc.kernels.paces import DEFAULT, Paces, Way, estimate, parts, read_paces


def rows_of(truth: Paces, *ways: Way) -> list[list[float]]:
    names = list(asdict(truth))
    return [
        [parts(*shape)[way].get(name, 0.0) / estimate(truth, *shape)[way] for name in names]
        for way in ways
        for shape in SHAPES[way]
    ]


def test_paces_are_found_from_exact_times() -> None:
    truth = Paces(0.2, 0.5, 0.7, 0.11, 900.0, 300.0, 200.0, 1500.0)
    found = solved(np.array(rows_of(truth, *Way)))
    assert asdict(found) == pytest.approx(asdict(truth), rel=1e-6)


def test_parts_that_were_not_measured_keep_their_defaults() -> None:
    truth = replace(DEFAULT, vector=0.5)
    found = solved(np.array(rows_of(truth, Way.ALONG, Way.VECTORS)))
    assert found.vector == pytest.approx(0.5)
    assert (found.cut, found.tile, found.join) == (DEFAULT.cut, DEFAULT.tile, DEFAULT.join)


def test_no_pace_is_negative_whatever_the_noise() -> None:
    rows = np.array(rows_of(DEFAULT, *Way))
    noise = np.random.default_rng(1).uniform(0.3, 3.0, (len(rows), 1))
    assert min(asdict(solved(rows * noise)).values()) >= 0


def test_tuning_writes_a_file_that_nodes_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_matmul, "SHAPES", (Shape("small", 2, 3, 4),))
    monkeypatch.setattr(paces, "SHAPES", dict.fromkeys(Way, ((4, 8, 2), (8, 4, 4))))
    file = tmp_path / "paces.json"
    *_, last = ring_matmul.run(Options(repeat=1, tune=str(file)))
    assert {
        f"{name}_ns": pace for name, pace in asdict(read_paces(file.read_text())).items()
    } == last.measured
