"""Accounts of a node, through its routes."""

from tests.support.nodes import NodeUnderTest


def test_a_user_signs_in_and_sees_themselves(node: NodeUnderTest) -> None:
    answer = node.client.get("/v1/users/me", headers=node.as_("ana"))
    assert answer.status_code == 200
    assert answer.json()["username"] == "ana"
    assert "publish" not in answer.json()["capabilities"]
