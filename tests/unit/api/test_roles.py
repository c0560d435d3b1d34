"""Custom roles: what they give, to whom, and that nobody grants more than they hold."""

from typing import Any

import pytest
from httpx2 import Response

from gridward.core.schemas.accounts import RoleName
from gridward.server.principals import CAPABILITIES, Capability
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.questions import code


def call(node: NodeUnderTest, user: str, method: str, path: str, **body: Any) -> Response:
    return node.client.request(method, f"/v1{path}", json=body or None, headers=node.as_(user))


def make(node: NodeUnderTest, user: str, name: str, *capabilities: str, **more: Any) -> Response:
    return call(node, user, "POST", "/roles", name=name, capabilities=list(capabilities), **more)


def capabilities_of(node: NodeUnderTest, user: str) -> set[str]:
    return set(call(node, user, "GET", "/users/me").json()["capabilities"])


def test_a_role_gives_what_it_says_and_a_change_counts_from_the_next_request_on(node: NodeUnderTest) -> None:
    made = make(node, "bob", "steward", "publish", "compute")
    assert made.json()["capabilities"] == ["compute", "publish"]
    node.as_("ana", "steward")
    assert capabilities_of(node, "ana") == {"publish", "compute"}
    call(node, "bob", "PATCH", "/roles/steward", capabilities=["read_audit"])
    assert capabilities_of(node, "ana") == {"read_audit"}
    assert call(node, "ana", "GET", "/audit").status_code == 200


def test_roles_are_listed_with_the_built_in_ones_first(node: NodeUnderTest) -> None:
    make(node, "bob", "steward", "publish", description="For the ward")
    listed = call(node, "ana", "GET", "/roles").json()["items"]
    assert [role["name"] for role in listed] == [*RoleName, "steward"]
    assert [role["built_in"] for role in listed] == [True] * len(RoleName) + [False]
    assert listed[-1]["description"] == "For the ward"


@pytest.mark.parametrize("capability", sorted(CAPABILITIES["owner"] - CAPABILITIES["admin"]))
def test_nobody_makes_or_widens_a_role_beyond_what_they_hold(node: NodeUnderTest, capability: str) -> None:
    node.as_("adam", "admin")
    assert make(node, "adam", "more", "compute", capability).status_code == 403
    assert make(node, "adam", "less", "compute").status_code == 201
    widened = call(node, "adam", "PATCH", "/roles/less", capabilities=["compute", capability])
    assert widened.status_code == 403
    assert make(node, "bob", "more", capability).status_code == 201
    assert call(node, "adam", "PATCH", "/roles/more", capabilities=["compute"]).status_code == 403
    assert call(node, "adam", "DELETE", "/roles/more").status_code == 403
    given = {"username": "eve", "role": "more", "password": PASSWORD}
    assert code(call(node, "adam", "POST", "/users", **given)) == "not_authorized"
    node.as_("eve", "less")
    assert code(call(node, "adam", "PATCH", "/users/eve", role="more")) == "not_authorized"
    assert capabilities_of(node, "eve") == {"compute"}


def test_nobody_changes_the_role_that_they_hold_themselves(node: NodeUnderTest) -> None:
    make(node, "bob", "registrar", "manage_users", "compute")
    node.as_("rita", "registrar")
    assert call(node, "rita", "PATCH", "/roles/registrar", capabilities=["compute"]).status_code == 403
    assert call(node, "rita", "DELETE", "/roles/registrar").status_code == 403
    assert make(node, "rita", "helper", "compute").status_code == 201
    assert make(node, "rita", "auditor", "read_audit").status_code == 403


@pytest.mark.parametrize("name", list(RoleName))
def test_built_in_roles_stay_as_they_are(node: NodeUnderTest, name: str) -> None:
    assert code(make(node, "bob", name, "compute")) == "already_exists"
    assert call(node, "bob", "PATCH", f"/roles/{name}", capabilities=[]).status_code == 403
    assert call(node, "bob", "DELETE", f"/roles/{name}").status_code == 403


@pytest.mark.parametrize("name", ["", "Steward", "a", "a-b", "role:x", "x" * 33, "1st", "ab\n"])
def test_a_role_has_a_plain_name(node: NodeUnderTest, name: str) -> None:
    assert make(node, "bob", name, "compute").status_code == 422


def test_an_unknown_capability_or_role_is_named(node: NodeUnderTest) -> None:
    refused = make(node, "bob", "steward", "fly")
    assert (code(refused), "fly" in refused.json()["detail"]) == ("invalid_input", True)
    body = {"username": "eve", "role": "steward", "password": PASSWORD}
    answer = call(node, "bob", "POST", "/users", **body)
    assert (code(answer), "data_officer" in answer.json()["detail"]) == ("invalid_input", True)


def test_a_role_that_somebody_holds_is_not_deleted(node: NodeUnderTest) -> None:
    make(node, "bob", "steward", "publish")
    node.as_("ana", "steward")
    assert code(call(node, "bob", "DELETE", "/roles/steward")) == "conflict"
    call(node, "bob", "PATCH", "/users/ana", role="guest")
    assert call(node, "bob", "DELETE", "/roles/steward").status_code == 204
    assert code(call(node, "bob", "DELETE", "/roles/steward")) == "object_not_found"


def test_an_invitation_is_void_once_its_maker_may_not_make_it_any_more(node: NodeUnderTest) -> None:
    make(node, "bob", "steward", "publish", "manage_users")
    make(node, "bob", "clerk", "publish")
    node.as_("rita", "steward")
    body = {"username": "eve", "role": "clerk", "invited": True}
    assert call(node, "rita", "POST", "/users", **body).status_code == 201
    token = call(node, "rita", "POST", "/users/eve/invitation").json()["token"]
    call(node, "bob", "PATCH", "/roles/clerk", capabilities=["publish", "compute"])
    accepted = {"token": token, "password": PASSWORD}
    assert code(node.client.post("/v1/invitations", json=accepted)) == "not_signed_in"


def test_a_token_of_a_program_has_what_its_role_has_now(node: NodeUnderTest) -> None:
    make(node, "bob", "steward", "publish", "compute")
    node.as_("ana", "steward")
    body = {"password": PASSWORD, "name": "nightly", "scopes": ["read_audit"], "lifetime_s": 3600}
    assert code(call(node, "ana", "POST", "/service-tokens", **body)) == "invalid_input"
    token = call(node, "ana", "POST", "/service-tokens", **body | {"scopes": ["publish"]}).json()["token"]
    call(node, "bob", "PATCH", "/roles/steward", capabilities=["compute", "read_audit"])
    assert node.node.authenticate(token).capabilities == frozenset()


@pytest.mark.parametrize(
    ("named", "held", "needs"),
    [
        (RoleName.OWNER, Capability.DECIDE_REQUESTS, True),
        (RoleName.OWNER, Capability.COMPUTE, False),
        (RoleName.DATA_OFFICER, Capability.DECIDE_REQUESTS, True),
        (RoleName.DATA_OFFICER, Capability.MANAGE_USERS, False),
        (RoleName.DATA_SCIENTIST, Capability.COMPUTE, False),
    ],
)
def test_a_role_needs_a_second_factor_where_a_named_role_shares_a_dangerous_capability(
    node: NodeUnderTest, named: RoleName, held: Capability, needs: bool
) -> None:
    make(node, "bob", "steward", held)
    node.as_("ana", "steward")
    assert node.node.accounts.settings is node.node.settings
    node.node.settings.second_factor_roles = frozenset({named})
    assert (call(node, "ana", "GET", "/datasets").status_code == 403) == needs


def test_a_role_may_need_a_second_factor_by_itself(node: NodeUnderTest) -> None:
    assert make(node, "bob", "steward", "compute", second_factor=True).json()["second_factor"]
    node.as_("ana", "steward")
    assert call(node, "ana", "GET", "/datasets").status_code == 403
    assert call(node, "ana", "GET", "/users/me").status_code == 200


def test_every_act_on_a_role_is_in_the_audit_log(node: NodeUnderTest) -> None:
    make(node, "bob", "steward", "compute")
    call(node, "bob", "PATCH", "/roles/steward", capabilities=[])
    call(node, "bob", "DELETE", "/roles/steward")
    found = [one["action"] for one in call(node, "bob", "GET", "/audit?subject=steward").json()["items"]]
    assert found == ["delete_role", "change_role", "create_role"]
