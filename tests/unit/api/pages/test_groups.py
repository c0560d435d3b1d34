"""Pages of groups: who sees and changes them, and that names are names."""

import pytest
from markupsafe import escape

from gridward.api.pages.groups import MEMBERS
from tests.support.nodes import NodeUnderTest
from tests.support.visitors import Visitor, forms_on, text_of

CANARY = "<script>alert(1)</script>{{7*7}}"


@pytest.fixture
def bob(node: NodeUnderTest) -> Visitor:
    return Visitor(node.client, "bob")


def test_a_group_is_made_filled_emptied_and_deleted(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("ana")
    made = bob.sends("/groups", name="ward", description=CANARY, add="ana, dana@grid\nerik@grid")
    assert made.url.path == "/groups/ward"
    assert str(escape(CANARY)) in made.text
    assert "<script>alert" not in made.text
    assert "Members 3" in text_of(made.text)
    less = bob.sends("/groups/ward", remove="dana@grid").text
    assert 'value="dana@grid"' not in less
    more = bob.sends("/groups/ward", add="fay@grid").text
    assert 'value="fay@grid"' in more
    assert str(escape(CANARY)) in more
    assert bob.send("/groups/ward", add="nobody").status_code == 422
    assert bob.send("/groups/ward", add="<b>").status_code == 422
    assert bob.send("/groups", name="ward").status_code == 409
    assert "There is no group" in bob.sends("/groups/ward/delete").text
    assert bob.get("/groups/ward").status_code == 404


@pytest.mark.parametrize(
    ("role", "status"),
    [("data_officer", 200), ("data_scientist", 200), ("compliance_officer", 403), ("guest", 403)],
)
def test_others_see_no_members_and_change_nothing(
    bob: Visitor, node: NodeUnderTest, role: str, status: int
) -> None:
    bob.sends("/groups", name="ward", add="dana@grid")
    node.as_("ana", role)
    ana = Visitor(node.client, "ana")
    for path in ("/groups", "/groups/ward"):
        answer = ana.get(path)
        assert answer.status_code == status
        assert forms_on(answer.text) == set()
        assert "dana@grid" not in answer.text
    assert ana.send("/groups", name="own").status_code == 403
    assert ana.send("/groups/ward", add="ana").status_code == 403
    assert ana.send("/groups/ward/delete").status_code == 403


def test_many_members_are_paged(bob: Visitor) -> None:
    names = [f"dana{at:03}@grid" for at in range(MEMBERS + 1)]
    first = bob.sends("/groups", name="many", add=" ".join(names)).text
    assert (names[MEMBERS - 1] in first, names[MEMBERS] in first) == (True, False)
    assert names[MEMBERS] in bob.shows("/groups/many?page=2")


def test_forged_forms_do_nothing(bob: Visitor) -> None:
    bob.sends("/groups", name="ward", add="dana@grid")
    for path in ("", "/ward", "/ward/delete"):
        assert bob.send(f"/groups{path}", token="x", name="own", remove="dana@grid").status_code == 403
    assert "dana@grid" in bob.shows("/groups/ward")
