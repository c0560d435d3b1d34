"""Rounds end: by all answers, by a deadline, by too few of them."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from torch import nn

import gridward as gw
from gridward.client import parcels, wire
from gridward.client.federation import arrivals, driver, entry
from gridward.client.federation.driver import Surroundings
from gridward.client.federation.gathering import Opening, Parameters, PlainGathering
from gridward.client.federation.rounds import MissedQuorumError
from gridward.client.federation.setup import Choice
from gridward.client.federation.terms import Terms
from gridward.core.schemas.examples import EXAMPLES
from gridward.core.schemas.trainings import TrainingIn, TrainingOut
from tests.support.schools import School, setup_of

QUIET = Surroundings(shown=False)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


@pytest.fixture
def schools() -> list[School]:
    return [School("north", rows=30, step=1.0), School("south", rows=10, step=5.0)]


def train(
    model: nn.Module,
    schools: list[School],
    terms: Terms,
    strategy: gw.Strategy | None = None,
    rounds: int = 1,
) -> gw.TrainingResult:
    setup = setup_of(model, schools, strategy or gw.FedAvg(), terms=terms, rounds=rounds)
    return driver.result_of(model, setup, driver.start(setup, QUIET))


def dawdle(school: School, rounds: int) -> None:
    """Let a school run on in its first rounds, until it is told to forget."""

    def bend(state: dict[str, Any]) -> httpx2.Response | None:
        if len(school.asked) <= rounds:
            time.sleep(0.01)
            state.update(state="running", parameters=[])
        return None

    school.bend = bend


def test_a_late_node_is_cancelled_left_out_and_asked_again(model: nn.Module, schools: list[School]) -> None:
    dawdle(schools[1], rounds=1)
    before = model.weight.detach().clone()
    result = train(model, schools, Terms(deadline_s=0.3), rounds=2)
    first, second = result.history
    assert first.failures == {"south": "'south' was late: 1 of 1 epochs were done when the round ended"}
    assert [report.node for report in first.nodes] == ["north"]
    assert not second.failures
    assert schools[1].forgotten == 2
    assert torch.allclose(result.model.weight, before + 1.0 + (30 * 1.0 + 10 * 5.0) / 40, atol=1e-6)


@pytest.mark.parametrize(("quorum", "needed"), [(2, 2), (0.5, 1), (1.0, 2), (None, 1)])
def test_a_quorum_is_a_number_or_a_part_of_the_nodes(
    model: nn.Module, schools: list[School], quorum: float | None, needed: int
) -> None:
    schools[1].bend = lambda state: state.update(state="failed", detail="out of memory")
    if needed == 1:
        assert len(train(model, schools, Terms(quorum=quorum)).history[0].nodes) == 1
        return
    with pytest.raises(gw.TrainingError, match=r"1 of 2 nodes answered, 2 are needed; south: .*memory"):
        train(model, schools, Terms(quorum=quorum))


def test_a_round_that_missed_its_quorum_is_asked_again_and_changes_nothing_until_it_counts(
    model: nn.Module, schools: list[School]
) -> None:
    schools[1].bend = lambda _: httpx2.Response(503) if len(schools[1].asked) == 2 else None
    whole = [School("north", rows=30, step=1.0), School("south", rows=10, step=5.0)]
    wanted = train(model, whole, Terms(), rounds=3, strategy=gw.Scaffold(local_rate=0.1))
    given = train(model, schools, Terms(quorum=2, wait_s=30), rounds=3, strategy=gw.Scaffold(local_rate=0.1))
    assert torch.equal(given.model.weight, wanted.model.weight)
    assert [len(school.asked) for school in schools] == [4, 4]
    assert not any(report.failures for report in given.history)


def test_waiting_ends_and_names_the_cause(model: nn.Module, schools: list[School]) -> None:
    schools[1].bend = lambda _: httpx2.Response(403, json={"code": "not_authorized", "detail": "not you"})
    with pytest.raises(MissedQuorumError, match="south: not you"):
        train(model, schools, Terms(quorum=2, wait_s=0.1))
    assert len(schools[0].asked) > 1


def wrong_number(state: dict[str, Any]) -> None:
    for one in state["parameters"]:
        if one["name"] == "weight":
            one |= wire.encode("weight", torch.full((3, 4), float("nan"))).model_dump()


def wrong_dtype(state: dict[str, Any]) -> None:
    state["parameters"] = [
        wire.encode(name, torch.zeros(3, 4).double()).model_dump() for name in ("weight", "bias")
    ]


def huge_loss(state: dict[str, Any]) -> None:
    state["history"][0]["values"]["loss"] = 1e300


def huge_rows(state: dict[str, Any]) -> None:
    state["rows"] = 10**30


def not_a_number(state: dict[str, Any]) -> httpx2.Response:
    """JSON that other languages refuse, and pydantic reads."""
    state["history"][0]["values"]["loss"] = float("nan")
    return httpx2.Response(200, content=json.dumps(state).encode())


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        (wrong_number, "not finite"),
        (wrong_dtype, "as torch.float64, not torch.float32"),
        (huge_loss, "loss above 1e\\+100"),
        (huge_rows, "rows: Input should be less"),
        (not_a_number, "metrics.loss: Input should be a finite number"),
    ],
)
@pytest.mark.parametrize("strategy", [gw.FedAvg(), gw.FedMedian()])
def test_a_node_with_a_wrong_answer_is_left_out_and_the_round_counts(
    model: nn.Module,
    schools: list[School],
    bend: Callable[[dict[str, Any]], httpx2.Response | None],
    why: str,
    strategy: gw.Strategy,
) -> None:
    schools[1].bend = lambda state: bend(state) if state["state"] == "done" else None
    before = model.weight.detach().clone()
    result = train(model, schools, Terms(), strategy)
    assert re.search(why, result.history[0].failures["south"])
    assert torch.allclose(result.model.weight, before + 1.0)


def test_metrics_that_nobody_asked_for_are_left_out(
    model: nn.Module, schools: list[School], tmp_path: Path
) -> None:
    def bend(state: dict[str, Any]) -> None:
        for epoch in state["history"]:
            epoch["values"] |= {f"m{at}": 1.0 for at in range(70)}
        state["validation"] = {f"m{at}": 1.0 for at in range(70)} | {"loss": 2.0}

    for school in schools:
        school.bend = bend
    setup = setup_of(model, schools, gw.FedAvg(), choice=Choice(0.1))
    result = entry.perform(model, setup, tmp_path / "run", QUIET)
    assert set(result.history[0].metrics) == set(result.history[0].validation) == {"loss"}


def test_a_file_of_a_dtype_that_numpy_has_not_is_its_nodes_failure() -> None:
    plain = PlainGathering()
    opening = Opening(0, ("north",), 1, {"w": torch.zeros(2)})
    plain.begin(opening)
    out = TrainingOut.model_validate(EXAMPLES["TrainingOut"])
    with pytest.raises(gw.TrainingError, match=r"w as torch.bfloat16"):
        plain.arrived(opening, "north", out, {"w": torch.zeros(2, dtype=torch.bfloat16)})


def lost(school: School, method: str) -> Callable[[dict[str, Any]], None]:
    def bend(_: dict[str, Any]) -> None:
        if school.requests[-1].method == method:
            raise httpx2.ReadError("connection reset")

    return bend


def forgotten(school: School) -> list[str]:
    return [request.url.path for request in school.requests if request.method == "DELETE"]


def test_a_training_whose_answers_were_lost_does_not_run_on(model: nn.Module, schools: list[School]) -> None:
    north, south = schools
    north.bend, south.bend = lost(north, "POST"), lost(south, "GET")
    with pytest.raises(gw.TrainingError, match="0 of 2 nodes"):
        train(model, schools, Terms())
    assert forgotten(north) == [f"/v1/trainings/{north.asked[0]['id']}"]
    assert forgotten(south) == ["/v1/trainings/trn-1"]


def test_every_node_is_asked_at_once_however_many_there_are(model: nn.Module) -> None:
    schools = [School(f"n{number}") for number in range(40)]
    all_asked = threading.Barrier(len(schools))

    def bend_of(school: School) -> Callable[[dict[str, Any]], None]:
        return lambda _: None if school.requests[-1].method == "GET" else void(all_asked.wait(20))

    for school in schools:
        school.bend = bend_of(school)
    assert not train(model, schools, Terms(deadline_s=60)).history[0].failures


def void(_: object) -> None:
    """Drop a value."""


def test_a_node_that_hangs_holds_up_neither_the_next_round_nor_the_end(
    model: nn.Module, schools: list[School], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_GRACE_S", 0.0)
    go_on, went_on = threading.Event(), threading.Event()

    def hang(_: dict[str, Any]) -> None:
        go_on.wait(20)
        went_on.set()

    schools[1].bend = hang
    result = train(model, schools, Terms(deadline_s=0.3), rounds=2)
    assert not went_on.is_set()
    go_on.set()
    assert [set(report.failures) for report in result.history] == [{"south"}, {"south"}]


class OneRefuses(PlainGathering):
    """Lets one node take no part."""

    def asked(self, opening: Opening, node: str, body: TrainingIn, start: Parameters) -> TrainingIn:
        if node == "south":
            raise gw.InvalidInputError("another lesson")
        return body


def test_nothing_is_uploaded_to_a_node_that_will_not_be_asked(
    model: nn.Module, schools: list[School], monkeypatch: pytest.MonkeyPatch
) -> None:
    schools[0].answer = schools[1].answer = lambda _: httpx2.Response(403)
    monkeypatch.setattr(parcels, "INLINE_BYTES", 0)
    setup = setup_of(model, schools, gw.FedAvg())
    with pytest.raises(gw.TrainingError, match="south: another lesson"):
        driver.start(setup, replace(QUIET, gathering=OneRefuses()))
    assert schools[0].requests
    assert not schools[1].requests


def test_bytes_of_messages_are_counted_both_ways(model: nn.Module, schools: list[School]) -> None:
    (report, _) = train(model, schools, Terms()).history[0].nodes
    sent = [request for request in schools[0].requests if request.method == "POST"]
    assert report.sent_bytes == sum(len(request.content) for request in sent)
    assert report.received_bytes > 0


@pytest.mark.parametrize("fields", [{"deadline_s": 0}, {"quorum": 0}, {"quorum": 1.5}, {"wait_s": -1}])
def test_terms_that_no_round_can_keep_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(gw.InvalidInputError, match=next(iter(fields))):
        Terms(**fields)
