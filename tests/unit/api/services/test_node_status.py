"""How a node says that it is doing, and to whom."""

import pytest

from gridward.server.settings import NodeSettings
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.visitors import Visitor, text_of
from tests.unit.api.services.test_datasets import WARD


def test_the_owner_sees_what_is_stored_and_what_runs(node: NodeUnderTest, settings: NodeSettings) -> None:
    bob = node.as_("bob")
    before = node.client.get("/v1/node/status", headers=bob).json()
    publish(node, bob, WARD)
    node.node.trainings.admit("trn-1")
    now = node.client.get("/v1/node/status", headers=bob).json()
    assert now["storage"]["stored_bytes"] > before["storage"]["stored_bytes"] == 0
    assert now["storage"]["limit_bytes"] == settings.upload_total_bytes
    assert now["audit"]["head"]["count"] > before["audit"]["head"]["count"]
    trainings = next(one for one in now["queues"] if one["name"] == "trainings")
    assert (trainings["running"], trainings["waiting"], trainings["workers"]) == (1, 0, 2)
    assert {"gridward", "python", "torch"} < set(now["versions"])
    assert [one["ready"] for one in now["roles"]] == [0, 0, 0]
    assert (now["memberships"], now["lane_port"]) == ([], None)


@pytest.mark.parametrize("role", ["admin", "data_officer", "compliance_officer", "data_scientist", "guest"])
def test_nobody_else_does(node: NodeUnderTest, role: str) -> None:
    headers = node.as_("ana", role)
    assert node.client.get("/v1/node/status", headers=headers).json()["code"] == "not_authorized"
    visitor = Visitor(node.client, "ana")
    assert visitor.get("/status").status_code == 403
    assert 'href="/status"' not in visitor.shows("/datasets")


def test_the_page_says_the_same(node: NodeUnderTest) -> None:
    said = text_of(Visitor(node.client, "bob").shows("/status"))
    now = node.client.get("/v1/node/status", headers=node.as_("bob")).json()
    assert now["versions"]["torch"] in said
    assert "no member of a gateway" in said
    assert "computations 0 of 2" in said
