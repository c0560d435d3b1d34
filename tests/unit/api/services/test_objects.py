"""A user's own tensors on a node."""

import base64
from typing import Any

import numpy as np
import pytest

from tests.support.nodes import NodeUnderTest
from tests.support.questions import code

BODY = {
    "tensor": {
        "name": "x",
        "dtype": "float64",
        "shape": [3],
        "data": base64.b64encode(np.arange(3.0).tobytes()).decode(),
    },
    "description": "three numbers",
    "tags": ["#numbers"],
}


def send(node: NodeUnderTest, headers: dict[str, str]) -> dict[str, Any]:
    answer = node.client.post("/v1/objects", json=BODY, headers=headers)
    assert answer.status_code == 201, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_a_sent_tensor_is_described_listed_and_deleted_without_its_values(node: NodeUnderTest) -> None:
    dana = node.as_("dana")
    said = send(node, dana)
    assert said["tensor"] == {"name": "x", "dtype": "float64", "shape": [3]}
    assert (said["description"], said["tags"], said["stored_by"]) == ("three numbers", ["#numbers"], "dana")
    assert said["provenance"] == {"plan_digest": None, "datasets": [], "rows": False}
    again = node.client.get(f"/v1/objects/{said['id']}", headers=dana)
    assert again.json() == said
    assert BODY["tensor"]["data"] not in again.text
    second = send(node, dana)
    listed = node.client.get("/v1/objects", params={"limit": 1}, headers=dana).json()
    assert (listed["total"], [item["id"] for item in listed["items"]]) == (2, [second["id"]])
    assert node.client.delete(f"/v1/objects/{said['id']}", headers=dana).status_code == 204
    assert code(node.client.get(f"/v1/objects/{said['id']}", headers=dana)) == "object_not_found"


@pytest.mark.parametrize("other", ["bob", "ana"])
def test_anothers_object_looks_like_none(node: NodeUnderTest, other: str) -> None:
    said = send(node, node.as_("dana"))
    headers = node.as_(other)
    for answer in (
        node.client.get(f"/v1/objects/{said['id']}", headers=headers),
        node.client.delete(f"/v1/objects/{said['id']}", headers=headers),
    ):
        assert code(answer) == "object_not_found"
    assert node.client.get("/v1/objects", headers=headers).json()["total"] == 0


def test_a_role_that_may_not_send_is_refused_as_such(node: NodeUnderTest) -> None:
    for user, role in (("gus", "guest"), ("carl", "compliance_officer")):
        answer = node.client.post("/v1/objects", json=BODY, headers=node.as_(user, role))
        assert code(answer) == "send_not_permitted"


@pytest.mark.parametrize(
    "tensor",
    [
        {"data": "AAAA"},
        {"data": "!" * 32},
        {"shape": [2**47]},
        {"dtype": "bool", "shape": [3], "data": base64.b64encode(b"\x00\x01\x02").decode()},
    ],
)
def test_bytes_that_are_no_such_tensor_are_refused(ward: NodeUnderTest, tensor: dict[str, Any]) -> None:
    body = BODY | {"tensor": {**BODY["tensor"], **tensor}}  # type: ignore[dict-item]
    assert code(ward.client.post("/v1/objects", json=body, headers=ward.as_("dana"))) == "invalid_input"


def test_objects_count_for_the_quota_and_deleting_gives_it_back(node: NodeUnderTest) -> None:
    said = send(node, node.as_("dana"))
    node.node.settings.upload_quota_bytes = 150
    assert code(node.client.post("/v1/objects", json=BODY, headers=node.as_("dana"))) == "too_large"
    node.client.delete(f"/v1/objects/{said['id']}", headers=node.as_("dana"))
    send(node, node.as_("dana"))
