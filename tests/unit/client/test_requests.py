"""Asking, waiting, deciding and fetching through the SDK, against a real node in this process."""

import secrets
import threading
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import torch
from fastapi.testclient import TestClient
from torch import nn

import gridward as gw
from gridward.core.errors import NodeUnreachableError
from gridward.core.schemas.examples_requests import REQUEST_EXAMPLES
from gridward.core.schemas.requests import RequestDetail
from tests.support.grids import eventually
from tests.support.nodes import PASSWORD
from tests.support.places import RecordingPlace

REQUEST_DETAIL = RequestDetail.model_validate(REQUEST_EXAMPLES["RequestDetail"])
WEIGHT = [3.5, 3.7, 3.9, 4.1, 4.1]
MEAN = pytest.approx(3.86)


@pytest.fixture(scope="module")
def ana(bob: gw.NodeClient) -> gw.NodeClient:
    http = bob.transport._http
    assert isinstance(http, TestClient)
    bob.users.add("ana", PASSWORD)
    return gw.connect(bob.url, "ana", PASSWORD, http=http)


@pytest.fixture
def weight(bob: gw.NodeClient, ana: gw.NodeClient) -> gw.Pointer:
    """Five weights that ana may find and compute on; too few for the rules to give anything."""
    name = f"ward-{secrets.token_hex(4)}"
    bob.publish(name, {"weight": WEIGHT}, access=gw.Access(compute=gw.SIGNED_IN), rows_are_entities=True)
    return ana.dataset(name)["weight"]


def test_a_request_is_asked_decided_and_fetched(
    bob: gw.NodeClient, ana: gw.NodeClient, weight: gw.Pointer
) -> None:
    request = weight.mean().request("ward report")
    assert isinstance(request, gw.Request)
    assert (request.status, request.described.kind.value) == ("pending", "value")
    assert request.operations[-1].startswith("output output: float64[]")
    with pytest.raises(gw.RequestPendingError, match=request.id):
        request.get()
    with pytest.raises(gw.RequestPendingError, match=request.id):
        weight.mean().get()
    bob.requests[request.id].comment("fine").approve(note="for the report")
    assert request.refresh().status == "approved"
    assert [event.kind.value for event in request.events] == ["asked", "commented", "approved"]
    value = request.get()
    assert isinstance(value, torch.Tensor)
    assert value.item() == MEAN
    with pytest.raises(gw.GetNotPermittedError, match="used up"):
        request.get()
    with pytest.raises(gw.ResultSuppressedError):
        weight.mean().get()


def test_the_same_pointer_gives_what_was_approved_in_another_session(
    bob: gw.NodeClient, ana: gw.NodeClient, weight: gw.Pointer
) -> None:
    id_ = weight.mean().request("ward report").id
    bob.requests[id_].approve(times=3)
    assert weight.mean().get().item() == MEAN
    again = ana.requests[id_]
    value = again.get()
    assert isinstance(value, torch.Tensor)
    assert value.item() == MEAN
    assert ana.requests[id_].described.used == 2


def test_a_model_that_may_hold_single_people_is_asked_for_and_fetched(
    bob: gw.NodeClient, ana: gw.NodeClient
) -> None:
    rows, name = {"x": torch.randn(30, 20).numpy(), "y": torch.arange(30).numpy() % 3}, secrets.token_hex(4)
    access = gw.Access(train=["ana"], export_model=["ana"])
    bob.publish(f"wards-{name}", rows, access=access, rows_are_entities=True)
    model = nn.Linear(20, 3)
    remote = gw.send(model, ana)
    with pytest.raises(gw.ConflictError, match="not trained yet"):
        remote.request("to compare it")
    remote.train(ana.dataset(f"wards-{name}"), batch_size=30)
    with pytest.raises(gw.ResultSuppressedError, match="63 parameters"):
        remote.get()
    request = remote.request("to compare it")
    assert "this would leave" in request.operations[1]
    bob.requests[request.id].approve(times=2)
    values = request.get()
    assert isinstance(values, dict)
    learnt = dict(remote.get().named_parameters())
    assert not torch.equal(learnt["weight"], model.weight)
    assert torch.equal(learnt["weight"], values["weight"])
    assert request.refresh().status == "used_up"


def test_waiting_ends_with_the_value_once_somebody_agrees(bob: gw.NodeClient, weight: gw.Pointer) -> None:
    values: list[torch.Tensor | dict[str, torch.Tensor]] = []
    why = "for somebody who waits"

    def wait() -> None:
        values.append(weight.mean().request(why, wait=True, timeout_s=30))

    waiting = threading.Thread(target=wait)
    waiting.start()
    request_id = eventually(
        lambda: next((one.id for one in bob.requests.list("pending") if one.reason == why), None),
        "it to wait",
    )
    bob.requests[request_id].approve()
    waiting.join(30)
    assert isinstance(values[0], torch.Tensor)
    assert values[0].item() == MEAN


def test_waiting_ends_at_its_time_and_goes_on_later(
    bob: gw.NodeClient, ana: gw.NodeClient, weight: gw.Pointer
) -> None:
    with pytest.raises(gw.RequestPendingError, match=r"node.requests\['req-"):
        weight.sum().request("ward report", wait=True, timeout_s=0.01)
    found = next(iter(ana.requests))
    bob.requests[found.id].deny("too small a ward")
    with pytest.raises(gw.GetNotPermittedError, match="denied by bob: too small a ward"):
        ana.requests[found.id].wait(5).get()


def test_an_open_question_is_named_when_asked_again(weight: gw.Pointer) -> None:
    request = weight.mean().request("ward report")
    with pytest.raises(gw.DuplicateRequestException, match=request.id):
        weight.mean().request("ward report, again")


def test_officers_are_told_preview_and_take_back(
    bob: gw.NodeClient, ana: gw.NodeClient, weight: gw.Pointer
) -> None:
    request = weight.mean().request("ward report")
    asked = [one for one in bob.notifications if one.request_id == request.id]
    assert [(one.kind.value, one.actor) for one in asked] == [("asked", "ana")]
    bob.notifications.seen(asked[-1])
    assert not [one for one in bob.notifications if one.request_id == request.id]
    mine = bob.requests[request.id]
    assert mine.described.overlap is not None
    assert {verdict.check for verdict in mine.preview().verdicts} >= {"rows", "finite"}
    mine.approve(until=datetime.now(UTC) + timedelta(hours=1)).revoke("a mistake")
    with pytest.raises(gw.GetNotPermittedError, match="revoked by bob: a mistake"):
        request.get()
    assert "revoked" in [one.kind.value for one in ana.notifications if one.request_id == request.id]


def test_lists_take_a_status_that_there_is(ana: gw.NodeClient) -> None:
    with pytest.raises(gw.InvalidInputError, match="used_up"):
        ana.requests.list("open")


def test_a_call_that_was_cut_off_is_repeated_as_the_same_attempt(hospital: RecordingPlace) -> None:
    """The node took the use and died before its answer arrived."""
    detail = REQUEST_EXAMPLES["RequestDetail"] | {"status": "approved"}
    attempts: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.startswith("/v1/requests"):
            return httpx2.Response(200, json=detail)
        attempts.append(httpx2.Response(200, content=request.content).json()["attempt"])
        if len(attempts) < 6:
            raise httpx2.ReadError("cut off")
        value = {"name": "output", "dtype": "float64", "shape": [], "data": "4XoUrkfhDkA="}
        return httpx2.Response(200, json={"answer": "value", "values": [value], "objects": []})

    hospital.answer = answer
    request = gw.Request(hospital, REQUEST_DETAIL)
    with pytest.raises(NodeUnreachableError):
        request.get()
    value = request.get()
    assert isinstance(value, torch.Tensor)
    assert value.item() == MEAN
    assert len(attempts) == 6
    assert len(set(attempts)) == 1
