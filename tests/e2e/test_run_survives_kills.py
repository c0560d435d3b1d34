"""A run over real nodes goes on after its driver was killed, and after a node was killed in mid-round."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import gridward as gw
from gridward.client.federation.checkpoints import Checkpoints
from tests.support import drive
from tests.support.grids import Grid, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NODES = ("hospital", "public")
ROUNDS = 12


@pytest.fixture(scope="module")
def points(grid: Grid) -> None:
    """Two clouds on two nodes, for dana."""
    drawn = np.random.default_rng(1)
    access = gw.Access(discover=gw.SIGNED_IN, train="dana@grid", export_model="dana@grid")
    for name in NODES:
        labels = np.arange(300) % 3
        values = drawn.normal(0, 0.3, (300, 4)) + np.eye(4)[labels]
        with grid.owner(name) as owner:
            owner.publish(
                "points",
                {"points": values.astype(np.float32), "labels": labels},
                tags=["#points"],
                access=access,
                rows_are_entities=True,
                disclosure=gw.Disclosure(residual_degrees=None, parameter_share=None),
            )
            owner.admit("dana@grid")
    with grid.user("dana") as dana:
        eventually(lambda: len(dana.search("#points")) == 2 or None, "both datasets")


def rounds_kept(folder: Path) -> int:
    try:
        found = Checkpoints(folder).state()
    except gw.ObjectNotFoundError:  # replaced at this very moment
        return 0
    return 0 if found is None else found[0].done


@pytest.mark.usefixtures("points")
def test_a_killed_drivers_run_ends_with_the_model_of_an_unbroken_one(grid: Grid, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "tests.support.drive", grid.gateway.url, str(folder), str(ROUNDS)]
    driver = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        eventually(lambda: rounds_kept(folder) >= 2 or None, "two rounds", 90)
    finally:
        driver.kill()
        driver.wait(20)
    assert 2 <= rounds_kept(folder) < ROUNDS
    with grid.user("dana") as dana:
        resumed = dana.resume(folder, drive.network())
        whole = drive.train(dana, False, ROUNDS)
    assert len(resumed.history) == ROUNDS
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    assert resumed.best_round == whole.best_round
    assert [one.validation for one in resumed.history] == [one.validation for one in whole.history]


@pytest.mark.usefixtures("points")
def test_a_round_waits_for_a_node_that_was_killed_in_it(grid: Grid, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with grid.user("dana") as dana, ThreadPoolExecutor(1) as pool:
        running = pool.submit(drive.train, dana, folder, ROUNDS)
        eventually(lambda: rounds_kept(folder) >= 2 or None, "two rounds")
        grid.nodes["public"].kill()
        grid.nodes["public"].start()
        result = running.result(120)
    assert len(result.history) == ROUNDS
    assert all(len(report.nodes) == 2 for report in result.history)


@pytest.mark.usefixtures("points")
def test_a_node_that_is_away_is_left_out_and_returns(grid: Grid) -> None:
    with grid.user("dana") as dana:
        found = dana.search("#points")
        away = {pointer.location.name: pointer for pointer in found}
        grid.nodes["public"].kill()
        try:
            with pytest.raises(gw.TrainingError, match="1 of 2 nodes answered, 2 are needed; public: "):
                dana.train(drive.network(), data=away.values(), rounds=1, quorum=1.0)
            alone = dana.train(drive.network(), data=away.values(), rounds=1, quorum=0.5)
        finally:
            grid.nodes["public"].start()
        assert list(alone.history[0].failures) == ["public"]
        both = dana.train(drive.network(), data=away.values(), rounds=1, quorum=1.0, wait_s=60)
        assert not both.history[0].failures
