"""Rounds end: by all answers, by a deadline, by too few of them."""

import time
from typing import Any

import httpx2
import pytest
import torch
from torch import nn

import gridward as gw
from gridward.client.federation import driver
from gridward.client.federation.driver import Surroundings
from gridward.client.federation.rounds import MissedQuorumError
from gridward.client.federation.terms import Terms
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


def test_bytes_of_messages_are_counted_both_ways(model: nn.Module, schools: list[School]) -> None:
    (report, _) = train(model, schools, Terms()).history[0].nodes
    sent = [request for request in schools[0].requests if request.method == "POST"]
    assert report.sent_bytes == sum(len(request.content) for request in sent)
    assert report.received_bytes > 0


@pytest.mark.parametrize("fields", [{"deadline_s": 0}, {"quorum": 0}, {"quorum": 1.5}, {"wait_s": -1}])
def test_terms_that_no_round_can_keep_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(gw.InvalidInputError, match=next(iter(fields))):
        Terms(**fields)
