"""What holds for every page there is, whoever adds one: strangers are led away, forged forms are refused."""

import re

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from gridward.api.main import create_app as create_node
from gridward.gateway.main import create_app as create_gateway
from gridward.server.settings import GatewaySettings, NodeSettings
from tests.support.nodes import NodeUnderTest
from tests.support.visitors import BROWSER, Visitor

OPEN = ("/sign-in", "/forgot", "/claim", "/accept", "/static/", "/health", "/ready")


def pages(app: FastAPI) -> set[tuple[str, str]]:
    """Every page that is for those who are signed in: its method and a path that could be."""
    # Newer versions of FastAPI keep included routers as they are, older ones their routes.
    routers = [app, *(getattr(route, "original_router", None) for route in app.routes)]
    routes = [route for one in routers if one for route in one.routes if isinstance(route, APIRoute)]
    return {
        (method, re.sub(r"\{[^}]*\}", "some", route.path))
        for route in routes
        for method in route.methods
        if not route.include_in_schema and not route.path.startswith(OPEN)
    }


NODE = sorted(pages(create_node(NodeSettings())))
GATEWAY = pages(create_gateway(GatewaySettings()))


def test_a_gateway_has_the_pages_about_people_of_a_node() -> None:
    assert {path for _, path in GATEWAY} >= {"/", "/account", "/users", "/roles", "/audit"}
    assert len(NODE) > 30


def test_no_stranger_sees_a_page_or_sends_a_form(node: NodeUnderTest) -> None:
    for method, path in NODE:
        answer = node.client.request(method, path, headers=BROWSER, follow_redirects=False)
        assert answer.status_code == 303, (method, path)
        assert answer.headers["location"].startswith("/sign-in?next="), (method, path)


@pytest.mark.parametrize("kind", ["no token", "another's token", "another site"])
def test_no_form_is_taken_that_is_not_the_sessions_own(node: NodeUnderTest, kind: str) -> None:
    node.as_("ana")
    bob, ana = Visitor(node.client, "bob"), Visitor(node.client, "ana")
    tokens = {"no token": "", "another's token": ana.token(), "another site": bob.token()}
    site = {"Sec-Fetch-Site": "cross-site"} if kind == "another site" else {}
    for method, path in NODE:
        if method == "POST":
            form = {"form_token": tokens[kind]}
            answer = bob.client.post(path, data=form, headers=BROWSER | site, follow_redirects=False)
            assert answer.status_code == 403, path
    assert bob.get("/account").url.path == "/account"


def test_pages_only_read_and_forms_only_post() -> None:
    assert {method for method, _ in [*NODE, *GATEWAY]} == {"GET", "POST"}
