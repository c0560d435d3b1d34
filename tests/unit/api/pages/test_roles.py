"""Pages of roles: none that can do more than its maker, none of one's own, words shown as words."""

import pytest
from markupsafe import escape

from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.visitors import Visitor, forms_on, text_of

CANARY = "<script>alert(1)</script>{{7*7}}"


@pytest.fixture
def bob(node: NodeUnderTest) -> Visitor:
    return Visitor(node.client, "bob")


def test_a_role_is_made_given_changed_and_deleted(bob: Visitor, node: NodeUnderTest) -> None:
    form = {"description": CANARY, "capabilities": ["read_audit", "compute"], "second_factor": "true"}
    page = bob.sends("/roles", name="auditor", **form).text
    assert str(escape(CANARY)) in page
    assert "<script>alert" not in page
    assert 'value="auditor"' in bob.shows("/users")
    bob.sends("/users", username="ana", role="auditor", password=PASSWORD)
    assert "auditor" in text_of(bob.shows("/users/ana"))
    changed = bob.sends("/roles/auditor", description="reads", capabilities=["read_audit"]).text
    assert 'value="read_audit" checked' in changed
    assert 'value="compute" checked' not in changed
    assert 'name="second_factor" value="true" checked' not in changed
    assert bob.send("/roles/auditor/delete").status_code == 409
    ana = Visitor(node.client, "ana")
    assert ana.get("/audit").status_code == 200
    assert forms_on(ana.shows("/roles/auditor")) == set()
    bob.sends("/users/ana", role="guest")
    assert "auditor" not in bob.sends("/roles/auditor/delete").text
    assert bob.get("/roles/auditor").status_code == 404


def test_nobody_makes_a_role_of_what_they_lack(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("adam", "admin")
    adam = Visitor(node.client, "adam")
    assert 'value="manage_server"' not in adam.shows("/roles")
    assert adam.send("/roles", name="king", capabilities=["manage_server"]).status_code == 403
    bob.sends("/roles", name="steward", capabilities=["manage_server", "compute"])
    assert forms_on(adam.shows("/roles/steward")) == set()
    assert adam.send("/roles/steward", capabilities=["compute"]).status_code == 403
    assert adam.send("/roles/steward/delete").status_code == 403
    assert 'value="steward"' not in adam.shows("/users")
    for name in ("owner", "Big Boss", ""):
        assert bob.send("/roles", name=name, capabilities=["compute"]).status_code in (409, 422)
    assert forms_on(bob.shows("/roles/owner")) == set()


@pytest.mark.parametrize("role", ["data_officer", "compliance_officer", "data_scientist", "guest"])
def test_others_read_roles_and_change_none(bob: Visitor, node: NodeUnderTest, role: str) -> None:
    bob.sends("/roles", name="reader", capabilities=["compute"])
    node.as_("ana", role)
    ana = Visitor(node.client, "ana")
    assert forms_on(ana.shows("/roles")) == set()
    assert forms_on(ana.shows("/roles/reader")) == set()
    assert ana.send("/roles", name="own", capabilities=["compute"]).status_code == 403
    assert ana.send("/roles/reader", capabilities=["infer"]).status_code == 403
    assert ana.send("/roles/reader/delete").status_code == 403


def test_forged_forms_do_nothing(bob: Visitor) -> None:
    bob.sends("/roles", name="reader", capabilities=["compute"])
    for path in ("", "/reader", "/reader/delete"):
        assert bob.send(f"/roles{path}", token="x", name="own", capabilities=["infer"]).status_code == 403
    page = text_of(bob.shows("/roles"))
    assert "reader" in page
    assert "own" not in page.replace("owner", "")
