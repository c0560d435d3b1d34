from typing import Any

import httpx2
import numpy as np
import pytest
import torch

import gridward as gw
from gridward.client import training
from gridward.client.credentials import GatewayIdentity
from gridward.client.federation.gathering import Opening
from gridward.client.federation.rounds import MissedQuorumError
from gridward.client.federation.secure import SecureGathering, _moved, _Sum, gathering_of
from gridward.client.parcels import Parcel
from gridward.client.training import Recipe, Run
from gridward.core import tensors
from gridward.core.schemas.deployments import RoleHolder
from gridward.core.schemas.examples import EXAMPLES
from gridward.core.schemas.secure_aggregations import AggregationDocument, lesson_digest
from gridward.core.schemas.trainings import TrainingIn
from tests.support.places import RecordingPlace


@pytest.mark.parametrize("strategy", [gw.Krum(), gw.FedMedian(), gw.TrimmedMean(), gw.Scaffold()])
def test_rules_that_need_single_updates_are_refused_before_anything_is_sent(strategy: gw.Strategy) -> None:
    place = RecordingPlace("north")
    with pytest.raises(gw.InvalidInputError, match=r"each node's update.*FedAvg"):
        gathering_of([place.dataset()], strategy, True)
    assert place.requests == []


def test_nodes_that_no_gateway_vouches_for_add_up_nothing() -> None:
    places = [RecordingPlace("north"), RecordingPlace("south")]
    with pytest.raises(gw.InvalidInputError, match="without a gateway"):
        gathering_of([place.dataset() for place in places], gw.FedAvg(), gw.Secure(clip=1.0))
    assert gathering_of([place.dataset() for place in places], gw.Krum(), False) is None


def test_reals_move_by_the_mean_and_counts_by_the_mean_rounded() -> None:
    moved = _moved(np.array([1.5, -1.0], np.float32), np.array([0.25, 1e-9]))
    assert (moved.dtype, moved.tolist()) == (np.float32, [1.75, -1.0])
    counts = _moved(np.array([7, 7], np.int32), np.array([2.4999, -1.6]))
    assert (counts.dtype, counts.tolist()) == (np.int32, [9, 5])


def gathering(quorum: int = 2, *owners: str) -> SecureGathering:
    """A round that began with nodes of these owners, over a gateway that is gone by now."""
    gateway = RecordingPlace("gateway")
    gateway.answer = lambda _: httpx2.Response(200, json=EXAMPLES["GatewayOut"])
    places = {f"{owner}{at}": RecordingPlace(f"{owner}{at}") for at, owner in enumerate(owners)}
    for place in places.values():
        place.transport.credentials = GatewayIdentity(gateway.transport, place.id)
    made = SecureGathering(places, 10, gw.Secure())
    holders = {name: RoleHolder.model_construct(owner=name[:-1]) for name in places}
    opening = Opening(4, tuple(places), quorum, {})
    document = AggregationDocument.model_construct(quorum=quorum)
    made._sum = _Sum(opening, holders, [], bytes(32), document)
    gateway.answer = lambda _: httpx2.Response(503)
    return made


@pytest.mark.parametrize(("quorum", "answered"), [(2, 1), (3, 2), (2, 2)])
def test_a_sum_that_no_aggregator_may_open_is_asked_for_in_another_round(quorum: int, answered: int) -> None:
    made = gathering(quorum, "ann", "Ann", "bob")
    names = ("ann0", "Ann1", "bob2")[:answered]
    with pytest.raises(MissedQuorumError, match=rf"round 5: .* needs {quorum} nodes of 2 owners"):
        list(made.close(names))


def test_a_round_waits_for_a_gateway_that_does_not_answer() -> None:
    made = gathering(2, "ann", "bob")
    with pytest.raises(MissedQuorumError, match=r"round 5: .*not available"):
        made.begin(Opening(4, ("ann0", "bob1"), 1, {}))


@pytest.mark.parametrize(
    "options",
    [{"clip": 0.0}, {"clip": float("nan")}, {"quorum": 1}, {"aggregators": ["north"]}, {"aggregators": "ab"}],
)
def test_options_that_protect_nobody_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(gw.InvalidInputError):
        gw.Secure(**options)


def test_a_node_finds_the_lesson_that_the_driver_put_into_the_document() -> None:
    place = RecordingPlace("north")
    data = place.dataset("digits", images=("float32", [40, 4]), labels=("int64", [40]))
    recipe = Recipe(optimizer=gw.SGD(lr=0.1, momentum=0.9))
    pair = recipe.paired(data)
    lesson = recipe.lesson(torch.nn.Linear(4, 3), *pair, gw.FedProx(mu=0.1).local)
    with Parcel(lesson.parameters) as parcel:
        sent = parcel.send(place.transport)
    body = training.request(lesson, data, pair, Run(), parameters=sent)
    arrived = TrainingIn.model_validate_json(body.model_dump_json(by_alias=True, exclude_none=True))
    held = {one.name: tensors.decode(one) for one in arrived.parameters}
    assert len(held) > 2
    there = lesson_digest(arrived.model_copy(update={"secure": True}), tensors.digest(held))
    assert there == lesson_digest(body, tensors.digest(lesson.parameters))
