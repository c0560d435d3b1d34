"""Parameters that the checks keep on the node: asked for, read, approved, given as often as people said."""

import secrets
from typing import Any

import numpy as np
import pytest
import torch
from httpx2 import Response
from safetensors.torch import load
from sqlmodel import col, select

from gridward.api.tables.accounts import AuditEntry
from tests.support.asking import Said, act, approve, audits, shown
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, code
from tests.support.trainings import body_of, finish, host, query

ROWS = 60
ACCESS: Said = {"discover": ["@signed-in"], "train": ["tom"], "export_model": ["tom"]}


def trained(node: NodeUnderTest, **fields: Any) -> tuple[Said, str]:
    """Have tom train a model of 67 parameters on sixty people, which is too many for so few."""
    drawn, name = np.random.default_rng(3), f"m-{secrets.token_hex(4)}"
    arrays = {"points": drawn.normal(size=(ROWS, 4)).astype(np.float32), "labels": np.arange(ROWS) % 3}
    data = publish(node, node.as_("bob"), arrays, name=name, access=ACCESS, **fields)
    host(node, node.as_("tom"), name, discover=["@signed-in"], download=["@signed-in"])
    again(node, data, name)
    return data, name


def again(node: NodeUnderTest, data: Said, name: str) -> None:
    said = finish(node, node.as_("tom"), body_of(data, model_id=name, parameters=[], epochs=1))
    assert said["state"] == "done"


def ask_for(node: NodeUnderTest, name: str, headers: Headers, **more: Any) -> Response:
    body = {"reason": "to compare it"} | more
    return node.client.post(f"/v1/models/{name}/requests", json=body, headers=headers)


def asked_for(node: NodeUnderTest, name: str) -> Said:
    answer = ask_for(node, name, node.as_("tom"))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def content(node: NodeUnderTest, name: str, user: str = "tom", attempt: str | None = None) -> Response:
    params = {} if attempt is None else {"attempt": attempt}
    return node.client.get(f"/v1/models/{name}/content", params=params, headers=node.as_(user))


def test_what_a_person_approved_once_leaves_once_and_is_written_down(ward: NodeUnderTest) -> None:
    _, name = trained(ward)
    refused = content(ward, name)
    assert code(refused) == "result_suppressed"
    assert '.request("why")' in refused.json()["detail"]
    request = asked_for(ward, name)
    assert (request["kind"], request["model_id"], request["verdicts"]) == ("parameters", name, None)
    assert code(content(ward, name)) == "request_pending"
    assert approve(ward, ward.as_("bob"), request).status_code == 200
    attempt = secrets.token_hex(16)
    got = content(ward, name, attempt=attempt)
    assert sum(value.numel() for value in load(got.content).values()) == 67
    assert content(ward, name, attempt=attempt).content == got.content
    over = content(ward, name, attempt=secrets.token_hex(16))
    assert code(over) == "result_suppressed"
    assert "approved once, and that answer was given" in over.json()["detail"]
    assert shown(ward, ward.as_("tom"), request)["status"] == "used_up"
    waited, row = audits(ward, "parameters", request)
    assert (waited.decision, row.decision, row.reason) == ("pending", "value", "approved")
    assert (waited.result_digest, row.result_digest is None) == (None, False)
    assert len(audits(ward, "parameters_again", request)) == 1
    assert code(query(ward, ward.as_("tom"), name)) == "result_suppressed"


def test_an_approval_opens_these_parameters_for_this_caller_and_no_others(ward: NodeUnderTest) -> None:
    data, name = trained(ward)
    request = asked_for(ward, name)
    assert approve(ward, ward.as_("bob"), request, times=5).status_code == 200
    assert content(ward, name).status_code == 200
    assert code(content(ward, name, "dana")) == "result_suppressed"
    again(ward, data, name)
    assert code(content(ward, name)) == "result_suppressed"
    anew = asked_for(ward, name)
    assert anew["digest"] != request["digest"]
    assert code(content(ward, name)) == "request_pending"
    assert act(ward, ward.as_("bob"), anew, "deny", text="no more").status_code == 200
    assert "was denied" in content(ward, name).json()["detail"]


def test_who_decides_sees_the_parameters_beside_the_people(ward: NodeUnderTest) -> None:
    _, name = trained(ward)
    request = shown(ward, ward.as_("bob"), asked_for(ward, name))
    checks = {one["check"]: (one["passed"], one["figures"]) for one in request["verdicts"]}
    assert checks["degrees"] == (False, "67 parameters, 60 entities")
    assert checks["access"][0]
    assert any("this would leave" in line for line in request["operations"])
    bob = ward.as_("bob")
    assert code(act(ward, bob, request, "preview")) == "conflict"
    assert code(approve(ward, bob, request, standing=True)) == "invalid_input"
    page = ward.client.get(f"/v1/requests/{request['id']}", headers=ward.as_("dana"))
    assert code(page) == "object_not_found"


def test_revoking_ends_it_for_the_same_attempt_too(ward: NodeUnderTest) -> None:
    _, name = trained(ward)
    request, attempt = asked_for(ward, name), secrets.token_hex(16)
    assert approve(ward, ward.as_("bob"), request, times=2).status_code == 200
    assert content(ward, name, attempt=attempt).status_code == 200
    assert act(ward, ward.as_("bob"), request, "revoke", text="a mistake").status_code == 200
    assert code(content(ward, name, attempt=attempt)) == "result_suppressed"


@pytest.mark.parametrize("way", ["not the host", "twice", "nothing to decide", "no requests", "hidden"])
def test_a_request_that_makes_no_sense_is_refused(ward: NodeUnderTest, way: str) -> None:
    large = {"disclosure": {"residual_degrees": None, "parameter_share": None}}
    fields = {"nothing to decide": large, "no requests": {"reviewers": 0}}.get(way, {})
    data, name = trained(ward, **fields)
    tom, who = ward.as_("tom"), ward.as_("dana" if way == "not the host" else "tom")
    if way == "twice":
        asked_for(ward, name)
    if way == "hidden":
        path = f"/v1/datasets/{data['id']}"
        assert ward.client.patch(path, json={"access": {}}, headers=ward.as_("bob")).is_success
        assert code(content(ward, name)) == "get_not_permitted"
    wanted = {
        "not the host": "not_authorized",
        "twice": "duplicate_request",
        "nothing to decide": "conflict",
    }
    assert code(ask_for(ward, name, who)) == wanted.get(way, "get_not_permitted")
    assert code(ask_for(ward, "none", tom)) == "object_not_found"


def test_data_that_is_hidden_by_now_closes_an_approval(ward: NodeUnderTest) -> None:
    data, name = trained(ward)
    request = asked_for(ward, name)
    assert approve(ward, ward.as_("bob"), request, times=2).status_code == 200
    path = f"/v1/datasets/{data['id']}"
    assert ward.client.patch(path, json={"access": {}}, headers=ward.as_("bob")).is_success
    assert code(content(ward, name)) == "get_not_permitted"


def test_on_any_database_the_use_is_counted_with_the_parameters(node: NodeUnderTest) -> None:
    _, name = trained(node)
    request = asked_for(node, name)
    assert approve(node, node.as_("bob"), request, times=2).status_code == 200
    codes = [content(node, name).status_code for _ in range(3)]
    assert codes == [200, 200, 403]
    with node.node.database.read() as db:
        wanted = select(AuditEntry).where(AuditEntry.action == "parameters")
        rows = db.exec(wanted.order_by(col(AuditEntry.id))).all()
    assert [row.decision for row in rows] == ["value", "value", "suppressed"]
    assert torch.isfinite(load(content_of(node, name))["0.bias"]).all()


def content_of(node: NodeUnderTest, name: str) -> bytes:
    request = asked_for(node, name)
    assert approve(node, node.as_("bob"), request).status_code == 200
    return content(node, name).content
