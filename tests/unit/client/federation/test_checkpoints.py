"""A run is taken up again where it stood: the same model as if nothing had happened."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch
from torch import nn

import gridward as gw
from gridward.client.federation import entry
from gridward.client.federation.checkpoints import Checkpoints, default_folder
from gridward.client.federation.driver import Surroundings
from gridward.client.federation.gathering import Opening, PlainGathering
from gridward.client.federation.setup import Choice
from gridward.client.federation.state import State
from gridward.client.place import Place
from gridward.core.federation.known import KINDS
from gridward.core.schemas.runs import SecureSetup
from tests.support import slow_schools
from tests.support.grids import eventually
from tests.support.schools import School, setup_of

QUIET = Surroundings(shown=False)


def made(kind: type[gw.FedAvg]) -> gw.FedAvg:
    return gw.Krum(wrong=0) if kind is gw.Krum else kind()


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def schools(count: int = 2) -> dict[str, School]:
    """Two by default: the sum of two is the same in whatever order they answer."""
    kinds = (("n", 30, 1.5), ("s", 7, -0.3), ("w", 9, 0.2))[:count]
    made = {name: School(name, rows=rows, step=step) for name, rows, step in kinds}
    for school in made.values():
        school.judge = lambda received: {"loss": abs(received["weight"].mean().item() - 2.2)}
    return {school.id: school for school in made.values()}


def train(
    model: nn.Module, places: dict[str, School], strategy: gw.Strategy, folder: Path | bool, rounds: int = 4
) -> gw.TrainingResult:
    setup = setup_of(model, places.values(), strategy, rounds=rounds, seed=3, choice=Choice(0.1))
    return entry.perform(model, setup, folder, QUIET)


def break_in_round(places: dict[str, School], number: int) -> None:
    for place in places.values():
        place.bend = lambda _, place=place: httpx2.Response(503) if len(place.asked) >= number else None


@pytest.mark.parametrize(
    ("kind", "at"), [*((kind, 2) for kind in KINDS.values()), (gw.FedAdam, 4), (gw.FedAdam, 5)]
)
def test_a_run_that_broke_ends_as_an_unbroken_one(
    model: nn.Module, tmp_path: Path, kind: type[gw.FedAvg], at: int
) -> None:
    count = 3 if kind is gw.Krum else 2
    whole = train(model, schools(count), made(kind), False)
    broken, again = schools(count), schools(count)
    break_in_round(broken, at)
    if at < 5:
        with pytest.raises(gw.TrainingError, match=r"grid.resume\('.*', model\) goes on"):
            train(model, broken, made(kind), tmp_path / "run")
    else:
        train(model, broken, made(kind), tmp_path / "run")
    place: dict[str, Place] = dict(again)
    resumed = entry.resume(tmp_path / "run", nn.Linear(4, 3), place=place.__getitem__, around=QUIET)
    assert torch.equal(resumed.model.weight, whole.model.weight)
    assert torch.equal(resumed.model.bias, whole.model.bias)
    assert resumed.best_round == whole.best_round
    assert [one.validation for one in resumed.history] == [one.validation for one in whole.history]
    assert [one.metrics for one in resumed.history] == [one.metrics for one in whole.history]
    asked = [body["seed"] for body in next(iter(again.values())).asked if body["epochs"]]
    assert asked == [3 + number for number in range(at - 1, 4)]


def test_the_users_own_folder_is_used_by_default_and_left_clean(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    places = schools()
    break_in_round(places, 2)
    with pytest.raises(gw.TrainingError, match="goes on") as why:
        train(model, places, gw.FedAvg(), True)
    run_id = why.value.detail.split("grid.resume('")[1].split("'")[0]
    assert default_folder(run_id).stat().st_mode & 0o077 == 0
    again: dict[str, Place] = dict(schools())
    result = entry.resume(run_id, model, place=again.__getitem__, around=QUIET)
    assert result.run_id == run_id
    assert not list(default_folder(run_id).parent.iterdir())


def test_a_run_of_which_no_round_counted_leaves_nothing_by_default(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    places = schools()
    break_in_round(places, 1)
    with pytest.raises(gw.TrainingError, match="0 of 2 nodes"):
        train(model, places, gw.FedAvg(), True)
    assert not list(default_folder("x").parent.iterdir())


class Unreachable(PlainGathering):
    """Is reached so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def begin(self, opening: Opening) -> None:
        self.times -= 1
        if self.times < 0:
            raise gw.NodeUnreachableError("the gateway is gone")
        super().begin(opening)


def test_whatever_ends_a_run_it_says_how_to_go_on_or_leaves_nothing(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for times in (0, 1):
        setup = setup_of(model, schools().values(), gw.FedAvg(), rounds=3)
        said = rf"gone; grid.resume\('{setup.id}', model\)" if times else "gone$"
        with pytest.raises(gw.NodeUnreachableError, match=said):
            entry.perform(model, setup, True, replace(QUIET, gathering=Unreachable(times)))
        assert default_folder(setup.id).exists() == bool(times)


def test_a_run_that_another_process_drives_keeps_its_folder(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    setup = setup_of(model, schools().values(), gw.FedAvg())
    kept = Checkpoints(default_folder(setup.id))
    places: dict[str, Place] = dict(schools())
    with kept.held():
        kept.begin(setup)
        with pytest.raises(gw.ConflictError, match="drives the run"):
            entry.resume(setup.id, model, place=places.__getitem__, around=QUIET)
        assert kept.setup()[0].id == setup.id


def test_files_are_the_users_alone_in_whatever_folder(model: nn.Module, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    train(model, schools(), gw.FedAvg(), tmp_path, rounds=1)
    modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir() if path.stat().st_size}
    assert len(modes) == 4
    assert not any(modes.values())


class Own(gw.FedAvg):
    """A strategy that the package does not know."""


def test_a_strategy_of_ones_own_has_to_be_given_again(model: nn.Module, tmp_path: Path) -> None:
    train(model, schools(), Own(), tmp_path / "own", rounds=1)
    train(model, schools(), gw.FedProx(mu=0.5), tmp_path / "known", rounds=1)
    places: dict[str, Place] = dict(schools())
    with pytest.raises(gw.InvalidInputError, match="give it as strategy="):
        entry.resume(tmp_path / "own", model, place=places.__getitem__, around=QUIET)
    entry.resume(tmp_path / "own", model, place=places.__getitem__, strategy=Own(), around=QUIET)
    with pytest.raises(gw.InvalidInputError, match="FedProx"):
        entry.resume(tmp_path / "known", model, place=places.__getitem__, strategy=Own(), around=QUIET)


def test_a_folder_has_one_run_and_a_run_one_driver(model: nn.Module, tmp_path: Path) -> None:
    places: dict[str, Place] = dict(schools())
    with pytest.raises(gw.ObjectNotFoundError, match="no run in"):
        entry.resume(tmp_path / "none", model, place=places.__getitem__, around=QUIET)
    train(model, schools(), gw.FedAvg(), tmp_path / "run", rounds=1)
    with pytest.raises(gw.ConflictError, match="resume it"):
        train(model, schools(), gw.FedAvg(), tmp_path / "run", rounds=1)
    with (
        Checkpoints(tmp_path / "run").held(),
        pytest.raises(gw.ConflictError, match="another process drives"),
    ):
        entry.resume(tmp_path / "run", model, place=places.__getitem__, around=QUIET)
    with pytest.raises(gw.InvalidInputError, match="not the model of the run: weight"):
        entry.resume(tmp_path / "run", nn.Linear(5, 3), place=places.__getitem__, around=QUIET)


def test_what_was_written_before_stays_until_the_next_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoints(tmp_path)
    state = {"velocity": {"w": np.arange(3.0)}, "common": {}, "number": 3, "own": {"x": {"w": np.float64(2)}}}
    kept.save(State({"w": torch.ones(2)}), state)

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="full"):
        kept.save(State({"w": torch.zeros(2)}), state)
    found = kept.state()
    assert found is not None
    assert torch.equal(found[0].joint["w"], torch.ones(2))
    assert np.array_equal(found[1]["velocity"]["w"], np.arange(3.0))
    assert (found[1]["number"], found[1]["common"], found[1]["own"]["x"]["w"]) == (3, {}, 2)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(State({"w": torch.ones(2)}), {})
    (blob,) = tmp_path.glob("round-*.safetensors")
    blob.write_bytes(b"none")
    with pytest.raises(gw.InvalidInputError, match="damaged"):
        kept.state()


def test_a_secure_run_does_not_go_on_in_the_clear(model: nn.Module, tmp_path: Path) -> None:
    given = schools()
    setup = replace(setup_of(model, given.values(), gw.FedAvg()), secure=SecureSetup(clip=10, quorum=5))
    with pytest.raises(gw.InvalidInputError, match="in sums only"):
        entry.perform(model, setup, False, QUIET)
    assert not any(school.requests for school in given.values())
    Checkpoints(tmp_path).begin(setup)
    places: dict[str, Place] = dict(given)
    with pytest.raises(gw.InvalidInputError, match="with secure=, which is to be given again"):
        entry.resume(tmp_path, model, place=places.__getitem__, around=QUIET)
    with pytest.raises(gw.InvalidInputError, match="clip=10, quorum=5"):
        entry.resume(tmp_path, model, place=places.__getitem__, secure=gw.Secure(quorum=2), around=QUIET)


def test_a_secure_run_that_breaks_says_how_it_goes_on(model: nn.Module, tmp_path: Path) -> None:
    """Updates in the clear stand for sums, which tests over real nodes gather."""
    given = schools()
    break_in_round(given, 2)
    setup = replace(
        setup_of(model, given.values(), gw.FedAvg(), rounds=2), secure=SecureSetup(clip=10, quorum=5)
    )
    with pytest.raises(gw.TrainingError, match=r"grid.resume\('.*', model, secure=True\) goes on"):
        entry.perform(model, setup, tmp_path / "run", replace(QUIET, gathering=PlainGathering()))


@pytest.mark.slow
def test_a_killed_driver_loses_the_round_in_flight_at_most(tmp_path: Path) -> None:
    whole, kept = slow_schools.run(False, 0.0), Checkpoints(tmp_path / "run")
    start = [sys.executable, "-m", "tests.support.slow_schools", str(kept.folder)]
    process = subprocess.Popen(start, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        eventually(lambda: done(kept) >= 5 or None, "rounds", 120)
    finally:
        process.kill()
        process.wait(20)
    before, again = done(kept), slow_schools.schools(0.0)
    assert 5 <= before < slow_schools.ROUNDS
    places: dict[str, Place] = dict(again)
    resumed = entry.resume(kept.folder, nn.Linear(4, 3), place=places.__getitem__, around=QUIET)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    assert resumed.best_round == whole.best_round
    trained = [body for body in again["north-id"].asked if body["epochs"]]
    assert len(trained) == slow_schools.ROUNDS - before


def done(kept: Checkpoints) -> int:
    """Rounds that are kept; 0 too if a round is replaced at this very moment."""
    try:
        found = kept.state()
    except gw.ObjectNotFoundError:
        return 0
    return 0 if found is None else found[0].done


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_sent(
    model: nn.Module, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    places = schools()
    with pytest.raises(gw.InvalidInputError, match="give checkpoint=False"):
        train(model, places, gw.FedAvg(), tmp_path / "file" / "run")
    assert not any(place.requests for place in places.values())
