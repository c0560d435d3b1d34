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
from gridward.client.federation.secure import SecureGathering, _moved, _Sum, gathering_of, restored
from gridward.client.federation.secure import setup_of as setup_of_secure
from gridward.client.parcels import Parcel
from gridward.client.training import Recipe, Run
from gridward.client.transport import Transport
from gridward.core import tensors
from gridward.core.schemas import secure_aggregations as schemas
from gridward.core.schemas.deployments import RoleHolder
from gridward.core.schemas.examples import EXAMPLES
from gridward.core.schemas.secure_aggregations import AggregationDocument, lesson_digest
from gridward.core.schemas.trainings import TrainingIn
from gridward.core.smpc import quantised
from gridward.core.smpc.quantised import Terms
from gridward.server import tokens
from gridward.server.ids import utc_now
from tests.support.gateways import fresh_keys
from tests.support.places import RecordingPlace
from tests.support.schools import DIGITS, School, setup_of


@pytest.fixture
def grid() -> "Directory":
    return Directory("north", "south")


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
    made._sum = _Sum(opening, holders, [], bytes(32), None, document)
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


class Directory:
    """A gateway of two schools, as its answers say; both offer to add up."""

    def __init__(self, *names: str) -> None:
        self.keys = fresh_keys()
        http = httpx2.Client(transport=httpx2.MockTransport(self.answer))
        self.transport = Transport("http://grid.test", http=http, sleep=lambda _: None)
        self.schools = [School(name) for name in names]
        self.nodes = [self._node(school) for school in self.schools]
        for school in self.schools:
            school.transport.credentials = GatewayIdentity(self.transport, school.id)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/nodes":
            page = {"items": self.nodes, "total": len(self.nodes), "offset": 0, "limit": 100}
            return httpx2.Response(200, json=page)
        facts = {"id": self.keys.id, "name": "grid", "version": "1", "sign_key": self.keys.sign_key_text}
        return httpx2.Response(200, json=facts | {"owned": True})

    def gathering(self, options: bool | gw.Secure = True, *, resumed: bool = False) -> SecureGathering:
        data = [school.dataset("digits", **DIGITS) for school in self.schools]
        made = gathering_of(data, gw.FedAvg(), options, resumed=resumed)
        assert made is not None
        return made

    def _node(self, school: School) -> dict[str, Any]:
        keys = fresh_keys()
        school.id = keys.id
        stated = {
            "name": school.name,
            "url": f"http://{school.name}.test",
            "owner": f"owner of {school.name}",
            "sign_key": keys.sign_key_text,
            "seal_key": keys.seal_key_text,
        }
        attestation = tokens.issue(
            tokens.Kind.ATTESTATION,
            self.keys.sign_key,
            issuer=self.keys.id,
            subject=keys.id,
            audience=self.keys.id,
            now=utc_now(),
            lifetime_s=3600,
            extra=stated,
        )
        more = {"state": "live", "offers_party": True, "offers_provider": False, "last_seen_at": None}
        return stated | more | {"id": keys.id, "attestation": attestation}


JOINT = {"weight": torch.zeros(3, 4), "bias": torch.zeros(3)}


def opening_of(number: int) -> Opening:
    return Opening(number, ("north", "south"), 2, JOINT)


def question(place: School) -> TrainingIn:
    setup = setup_of(torch.nn.Linear(4, 3), [place], gw.FedAvg())
    with Parcel(setup.lesson.parameters) as parcel:
        sent = parcel.send(place.transport)
    (site,) = setup.sites.values()
    return training.request(setup.lesson, site.data, site.pair, Run(seed=7), parameters=sent)


def test_a_thread_of_a_round_that_ended_writes_nothing_into_the_next(grid: Directory) -> None:
    gathering, first, second = grid.gathering(), opening_of(0), opening_of(1)
    body = question(grid.schools[0])
    gathering.begin(first)
    gathering.begin(second)
    with pytest.raises(gw.TrainingError, match="round 1 has ended"):
        gathering.asked(first, "south", body, JOINT)
    moved = {name: value + 1 for name, value in JOINT.items()}
    asked = gathering.asked(second, "north", body, moved)
    assert gathering._sum.agreed.lesson == lesson_digest(asked, tensors.digest(moved))
    with pytest.raises(gw.TrainingError, match="round 1 has ended"):
        gathering.arrived(first, "south", None, {})  # type: ignore[arg-type]


def test_a_round_that_is_asked_for_again_is_another_lesson(grid: Directory) -> None:
    body = question(grid.schools[0])

    def seeds(gathering: SecureGathering, number: int) -> set[int]:
        opening = opening_of(number)
        gathering.begin(opening)
        return {gathering.asked(opening, name, body, JOINT).seed for name in ("north", "south")}

    begun, resumed = grid.gathering(), grid.gathering(resumed=True)
    assert [seeds(begun, 0), seeds(begun, 1)] == [{7}, {7}]
    (again,), (once_more,) = seeds(begun, 1), seeds(begun, 1)
    assert len({7, again, once_more}) == 3
    assert seeds(begun, 2) == {7}
    assert seeds(resumed, 2) != {7}
    assert seeds(resumed, 3) == {7}


def test_a_dataset_may_grow_during_a_run(grid: Directory) -> None:
    gathering, opening = grid.gathering(gw.Secure(clip=2.5)), opening_of(0)
    gathering.begin(opening)
    gathering.asked(opening, "north", question(grid.schools[0]), JOINT)
    document = gathering._sum.agreed
    assert (document.most_rows, document.clip) == (64, 2.5)
    assert document.fraction_bits == Terms.finest(2, 2.5, 64).fraction_bits


def test_a_clip_at_either_end_has_terms_that_a_document_takes(grid: Directory) -> None:
    for clip in (1e-12, 1e12):
        gathering, opening = grid.gathering(gw.Secure(clip=clip)), opening_of(0)
        gathering.begin(opening)
        gathering.asked(opening, "north", question(grid.schools[0]), JOINT)
        assert gathering._sum.agreed.clip == clip


def test_both_sides_of_a_sum_know_the_same_bounds() -> None:
    assert schemas.MOST_CONTRIBUTORS == quantised.MOST_CONTRIBUTORS
    assert schemas.MOST_FRACTION_BITS == quantised.MOST_FRACTION_BITS
    assert schemas._COUNTS == quantised.COUNTS
    assert Terms.finest(2, schemas.LEAST_CLIP, 1).fraction_bits == schemas.MOST_FRACTION_BITS
    with pytest.raises(gw.InvalidInputError):
        gw.Secure(clip=1e-13)


def test_a_run_goes_on_on_the_terms_it_was_started_with() -> None:
    given = gw.Secure(clip=10.0, quorum=5, aggregators=("north", "south"))
    said = setup_of_secure(given)
    assert (restored(said, True), restored(said, given), restored(None, False)) == (given, given, False)
    for other in (gw.Secure(), gw.Secure(clip=10.0, quorum=5), gw.Secure(clip=10.0, quorum=2)):
        with pytest.raises(gw.InvalidInputError, match=r"clip=10, quorum=5 and .*north.*; secure=True takes"):
            restored(said, other)
    with pytest.raises(gw.InvalidInputError, match="with secure=, which is to be given again"):
        restored(said, False)
    with pytest.raises(gw.InvalidInputError, match="without secure="):
        restored(None, True)
