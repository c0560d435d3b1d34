"""Pages that a gateway shares with nodes: account, users, audit."""

import pytest

from tests.support.gateways import GatewayUnderTest
from tests.support.visitors import Visitor, forms_on, text_of


def test_its_owner_manages_accounts_and_reads_the_log(grid: GatewayUnderTest) -> None:
    olga = Visitor(grid.client, "olga")
    home = olga.shows("/")
    for path in ("/users", "/audit", "/account"):
        assert f'href="{path}"' in home
        assert olga.shows(path).startswith("<!doctype html>")
    assert "An identity of a gateway" not in olga.shows("/users")
    assert "/groups" not in olga.shows("/roles")
    made = olga.sends("/users", username="dana", role="data_scientist", invited="true")
    assert "/accept?token=" in made.text
    assert "create user" in text_of(olga.shows("/audit"))
    assert "All is well" in olga.shows("/audit/verdict")
    assert olga.sends("/audit/export").headers["content-type"] == "application/x-ndjson"


@pytest.mark.parametrize("path", ["/users", "/users/olga", "/audit", "/audit/verdict"])
def test_others_have_an_account_and_nothing_to_manage(grid: GatewayUnderTest, path: str) -> None:
    grid.as_("dana")
    dana = Visitor(grid.client, "dana")
    assert dana.get(path).status_code == 403
    assert f'href="{path}"' not in dana.shows("/")
    assert "/account/password" in forms_on(dana.shows("/account"))
