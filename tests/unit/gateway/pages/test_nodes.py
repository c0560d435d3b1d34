"""Pages of nodes: members for everyone, those who ask for those who decide."""

from tests.support.gateways import GatewayUnderTest
from tests.support.visitors import Visitor, forms_on, text_of

CANARY = "<script>alert('canary')</script>"


def test_who_asks_to_join_is_seen_by_those_who_decide_and_by_nobody_else(grid: GatewayUnderTest) -> None:
    member, asking = grid.node("hospital", owner="Charity"), grid.node("newcomer", member=False)
    grid.as_("dana")
    olga, dana = Visitor(grid.client, "olga"), Visitor(grid.client, "dana")
    for path in ("/nodes", "/nodes?state=pending", "/"):
        assert "newcomer" in olga.shows(path)
        assert "newcomer" not in dana.shows(path)
    for path in ("/nodes", "/nodes/hospital", f"/nodes/{member.keys.id}"):
        assert "Charity" in dana.shows(path)
    hidden, missing = dana.get(f"/nodes/{asking.keys.id}"), dana.get(f"/nodes/{'a' * 26}")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace(asking.keys.id, "a" * 26) == missing.text
    assert forms_on(dana.shows("/nodes/hospital")) == set()


def test_the_owner_takes_a_node_in_and_refuses_it_again(grid: GatewayUnderTest) -> None:
    asking = grid.node("newcomer", member=False)
    olga, path = Visitor(grid.client, "olga"), f"/nodes/{asking.keys.id}"
    assert forms_on(olga.shows(path)) == {f"{path}/approval"}
    assert olga.send(f"{path}/approval", owner="").status_code == 422
    said = text_of(olga.sends(f"{path}/approval", owner="  New  Charity ", approved="true").text)
    assert "New Charity, by the word of this gateway" in said
    assert grid.get(f"/v1/nodes/{asking.keys.id}").json()["owner"] == "New Charity"
    olga.sends(f"{path}/approval", owner="New Charity", approved="false")
    assert grid.get(f"/v1/nodes/{asking.keys.id}").status_code == 404
    assert "refused" in text_of(olga.shows("/nodes?state=refused"))


def test_nobody_else_decides(grid: GatewayUnderTest) -> None:
    asking = grid.node("newcomer", member=False)
    grid.as_("dana")
    dana, olga = Visitor(grid.client, "dana"), Visitor(grid.client, "olga")
    form = f"/nodes/{asking.keys.id}/approval"
    assert dana.send(form, owner="mine", approved="true").status_code == 403
    assert olga.send(form, token=dana.token(), owner="mine", approved="true").status_code == 403
    assert grid.get("/v1/nodes", "olga", state="pending").json()["total"] == 1


def test_an_owners_label_is_text_and_never_markup(grid: GatewayUnderTest) -> None:
    node = grid.node("hospital", owner=CANARY)
    grid.as_("dana")
    for path in ("/", "/nodes", f"/nodes/{node.keys.id}"):
        for name in ("olga", "dana"):
            assert "<script>alert" not in Visitor(grid.client, name).shows(path)


def test_a_silent_node_is_away(grid: GatewayUnderTest) -> None:
    grid.node("hospital")
    grid.as_("dana")
    dana = Visitor(grid.client, "dana")
    assert ">hospital</a>" in dana.shows("/nodes?state=live")
    grid.clock.forward(grid.gateway.settings.away_after_s + 1)
    assert ">hospital</a>" not in dana.shows("/nodes?state=live")
    assert ">hospital</a>" in dana.shows("/nodes?state=away")
