"""A driver, its gateway and a watcher, together: a real gateway, and nodes that train by adding."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import gridward as gw
from gridward.cli import runs as commands
from gridward.client import runs
from gridward.client.credentials import ServiceToken
from gridward.client.federation import driver, entry, following
from gridward.client.federation.driver import Surroundings
from gridward.client.federation.following import CancelledRunError, GatewayFollower
from gridward.client.federation.setup import Choice, Setup
from gridward.client.transport import Transport
from gridward.core.schemas.runs import RoundRecord, RunState
from tests.support.gateways import GatewayUnderTest
from tests.support.schools import School, setup_of


@pytest.fixture
def calls(grid: GatewayUnderTest) -> Transport:
    token = grid.as_("dana")["Authorization"].removeprefix("Bearer ")
    return Transport("http://testserver", http=grid.client, credentials=ServiceToken(token))


@pytest.fixture
def setup() -> Setup:
    torch.manual_seed(0)
    north, south = School("north", rows=30), School("south", rows=10)
    return setup_of(nn.Linear(4, 3), [north, south], gw.FedAvg(), rounds=3, choice=Choice(0.1))


def followed(calls: Transport) -> Surroundings:
    return Surroundings(follower=GatewayFollower(calls, "Linear"), shown=False)


def test_a_watcher_sees_every_round_and_the_end(calls: Transport, setup: Setup) -> None:
    state = driver.start(setup, followed(calls))
    run = runs.found(calls, setup.id)
    assert repr(run) == f"<FederatedRun {setup.id} done 3/3 Linear>"
    assert [one.id for one in runs.listed(calls)] == [setup.id]
    history = run.history()
    assert [one.number for one in history] == [1, 2, 3]
    assert [one.validation for one in history] == [dict(one.validation) for one in state.history]
    assert all(node.sent_bytes > 0 for one in history for node in one.nodes)
    seen = list(run.events())
    assert [one.number for one in seen if isinstance(one, RoundRecord)] == [1, 2, 3]
    assert run.watch(progress=False).state is RunState.DONE


def test_a_run_waits_while_it_is_paused_and_ends_when_it_is_cancelled(
    calls: Transport, setup: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(following, "_PAUSE_S", 0.01)
    north = setup.sites["north"].data.location
    assert isinstance(north, School)

    def pause(_: dict[str, Any]) -> httpx2.Response | None:
        if len(north.asked) == 1:
            runs.found(calls, setup.id).pause()
        return None

    north.bend = pause
    around = followed(calls)
    with ThreadPoolExecutor(1) as pool:
        driving = pool.submit(entry.perform, nn.Linear(4, 3), setup, tmp_path / "run", around)
        run = next(one for one in waiting_for(calls, setup.id) if one.facts.detail == "paused")
        assert len(north.asked) == 1
        run.resume()
        next(one for one in waiting_for(calls, setup.id) if one.facts.rounds_done >= 2)
        with pytest.raises(gw.ConflictError):
            next(run.cancel() for run in waiting_for(calls, setup.id) if run.facts.state is RunState.DONE)
        assert driving.result(30).run_id == setup.id


def waiting_for(calls: Transport, run_id: str) -> Iterator[runs.FederatedRun]:
    for _ in range(600):
        try:
            yield runs.found(calls, run_id)
        except gw.ObjectNotFoundError:
            continue
    raise AssertionError("it never came")


def test_a_cancelled_run_ends_before_its_next_round_and_is_not_taken_up(
    calls: Transport, setup: Setup, tmp_path: Path
) -> None:
    north = setup.sites["north"].data.location
    assert isinstance(north, School)
    north.bend = lambda _: runs.found(calls, setup.id).cancel() and None if len(north.asked) == 1 else None
    with pytest.raises(CancelledRunError):
        entry.perform(nn.Linear(4, 3), setup, tmp_path / "run", followed(calls))
    assert len(north.asked) == 1 or runs.found(calls, setup.id).facts.state is RunState.CANCELLED
    places = {site.data.location.id: site.data.location for site in setup.sites.values()}
    again = followed(calls)
    assert runs.found(calls, setup.id).facts.state is RunState.CANCELLED
    with pytest.raises(CancelledRunError):
        entry.resume(tmp_path / "run", nn.Linear(4, 3), place=places.__getitem__, around=again)


def test_a_run_that_fails_says_why_and_one_without_a_gateway_goes_on(calls: Transport, setup: Setup) -> None:
    for site in setup.sites.values():
        assert isinstance(site.data.location, School)
        site.data.location.bend = lambda state: state.update(state="failed", detail="no room")
    with pytest.raises(gw.TrainingError):
        driver.start(setup, followed(calls))
    facts = runs.found(calls, setup.id).facts
    assert facts.state is RunState.FAILED
    assert "no room" in facts.detail
    gone = Transport("http://127.0.0.1:9", sleep=lambda _: None)
    torch.manual_seed(0)
    alone = setup_of(nn.Linear(4, 3), [School("north")], gw.FedAvg())
    assert driver.start(alone, Surroundings(follower=GatewayFollower(gone, "Linear"), shown=False)).done == 1


def test_the_commands_show_what_the_sdk_knows(
    calls: Transport, setup: Setup, grid: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Same:
        def __enter__(self) -> Transport:
            return calls

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(commands, "calls", lambda *_: Same())

    def said(*words: str) -> str:
        options = ("--url", "http://testserver", "--username", "dana", "--password", "x")
        result = CliRunner().invoke(commands.app, [*words, *options], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output

    driver.start(setup, followed(calls))
    assert setup.id in said("list")
    shown = said("show", setup.id)
    assert "done, 3 of 3 rounds" in shown
    assert shown.count("north") == 3
    assert "done" in said("watch", setup.id)
