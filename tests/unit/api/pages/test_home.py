"""The first page of a node: what waits, what is new, what comes first."""

import secrets

import numpy as np
from markupsafe import escape

from tests.support.asking import act, asked
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import column
from tests.support.visitors import Visitor, forms_on, text_of

CANARY = "<script>alert(1)</script>{{7*7}}"
OPEN = {"discover": ["@signed-in"], "compute": ["@signed-in"]}


def test_a_new_owner_reads_what_comes_first_and_others_do_not(node: NodeUnderTest) -> None:
    bob = Visitor(node.client, "bob")
    page = bob.shows("/")
    assert "First steps" in page
    for path in ("/datasets/new", "/users", "/account/second-factor"):
        assert f'href="{path}"' in page
    node.as_("gus", "guest")
    gus = Visitor(node.client, "gus").shows("/")
    for words in ("First steps", "Waiting", "/requests", "/users", "/audit"):
        assert words not in gus


def test_what_waits_and_what_is_new_is_there_until_it_is_seen(ward: NodeUnderTest) -> None:
    name = f"few-{secrets.token_hex(4)}"
    few = publish(ward, ward.as_("bob"), {"weight": np.arange(5.0)}, name=name, access=OPEN)
    request = asked(ward, ward.as_("ana"), column(few, "weight").mean(), reason="for the report")
    act(ward, ward.as_("ana"), request, "comments", text=CANARY)
    bob, ana = Visitor(ward.client, "bob"), Visitor(ward.client, "ana")
    page = bob.shows("/")
    assert "First steps" not in page
    assert str(escape(CANARY)) in page
    assert "<script>alert" not in page
    said = text_of(page)
    assert "Waiting for a decision 1 for the report ana" in said
    assert "ana asked: for the report" in said
    assert "ana commented on a request of ana" in said
    last = page.split('name="up_to" value="')[1].split('"')[0]
    assert bob.send("/notifications/seen", token="x", up_to=last).status_code == 403
    assert bob.send("/notifications/seen", up_to="many").status_code == 422
    bob.sends("/notifications/seen", up_to=last)
    assert "Nothing new." in bob.shows("/")
    assert "/notifications/seen" not in forms_on(bob.shows("/"))
    assert "Your open requests 1" in text_of(ana.shows("/"))
    act(ward, ward.as_("bob"), request, "deny", text="five people")
    assert "bob denied on a request of ana" in text_of(ana.shows("/"))
    assert "five people" in text_of(ana.shows("/"))
