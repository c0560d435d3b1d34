"""Groups: members have what its rules give, at once; nobody adds to one that gives more than they have."""

from typing import Any

import numpy as np
import pytest
from httpx2 import Response

from gridward.api.catalogue import dataset_entries
from tests.support.files import publish
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.questions import code

ROWS = {"x": np.arange(12.0)}


def call(node: NodeUnderTest, user: str, method: str, path: str, **body: Any) -> Response:
    return node.client.request(method, f"/v1{path}", json=body or None, headers=node.as_(user))


def make(node: NodeUnderTest, name: str, *members: str, user: str = "bob") -> Response:
    return call(node, user, "POST", "/groups", name=name, members=list(members))


def dataset(node: NodeUnderTest, user: str = "bob", **access: Any) -> dict[str, Any]:
    return publish(node, node.as_(user, "data_officer"), ROWS, access=access)


def verbs(node: NodeUnderTest, user: str, of: dict[str, Any]) -> list[str] | None:
    answer = call(node, user, "GET", f"/datasets/{of['id']}")
    return answer.json()["verbs"] if answer.status_code == 200 else None


def test_members_have_what_the_rules_of_their_group_give_and_lose_it_at_once(node: NodeUnderTest) -> None:
    node.as_("ana"), node.as_("eve")
    assert make(node, "ward", "ana").json()["members"] == ["ana"]
    births = dataset(node, compute=["group:ward"])
    assert (verbs(node, "ana", births), verbs(node, "eve", births)) == (
        ["discover", "describe", "compute"],
        None,
    )
    call(node, "bob", "PATCH", "/groups/ward", add=["eve"], remove=["ana"])
    assert (verbs(node, "ana", births), verbs(node, "eve", births)) == (
        None,
        ["discover", "describe", "compute"],
    )
    assert call(node, "eve", "GET", "/datasets").json()["total"] == 1
    assert call(node, "ana", "GET", "/datasets").json()["total"] == 0


def test_a_group_of_the_same_name_inherits_nothing(node: NodeUnderTest) -> None:
    node.as_("ana")
    make(node, "ward", "ana")
    births = dataset(node, raw=["group:ward", "bob"])
    assert call(node, "bob", "GET", "/groups/ward").json()["rules"] == 1
    assert call(node, "bob", "DELETE", "/groups/ward").status_code == 204
    assert verbs(node, "ana", births) is None
    make(node, "ward", "ana")
    assert verbs(node, "ana", births) is None
    lists = call(node, "bob", "GET", f"/datasets/{births['id']}").json()["access"]
    assert lists["raw"] == ["bob"]


def test_a_custom_role_of_the_same_name_inherits_nothing(node: NodeUnderTest) -> None:
    call(node, "bob", "POST", "/roles", name="steward", capabilities=["compute"])
    births = dataset(node, raw=["role:steward"])
    node.as_("ana", "steward")
    assert verbs(node, "ana", births) == ["discover", "describe", "raw"]
    call(node, "bob", "PATCH", "/users/ana", role="guest")
    assert verbs(node, "ana", births) is None
    assert call(node, "bob", "DELETE", "/roles/steward").status_code == 204
    call(node, "bob", "POST", "/roles", name="steward", capabilities=["compute"])
    call(node, "bob", "PATCH", "/users/ana", role="steward")
    assert verbs(node, "ana", births) is None


@pytest.mark.parametrize("entry", ["group:ward", "role:steward"])
def test_a_rule_for_a_group_or_role_that_nobody_made_is_refused(node: NodeUnderTest, entry: str) -> None:
    births = dataset(node)
    for answer in (
        call(node, "bob", "PATCH", f"/datasets/{births['id']}", access={"raw": [entry]}),
        call(node, "bob", "POST", f"/datasets/{births['id']}/rules", verb="raw", who=entry),
    ):
        assert code(answer) == "invalid_input"
        assert entry.split(":")[1] in answer.json()["detail"]


def test_only_those_who_manage_users_make_change_and_delete_groups(node: NodeUnderTest) -> None:
    node.as_("otto", "data_officer"), node.as_("ana"), node.as_("adam", "admin")
    make(node, "ward", "ana")
    for user in ("otto", "ana"):
        assert make(node, "mine", user=user).status_code == 403
        assert call(node, user, "PATCH", "/groups/ward", add=[user]).status_code == 403
        assert call(node, user, "DELETE", "/groups/ward").status_code == 403
    assert make(node, "mine", user="adam").status_code == 201


def test_who_writes_rules_reads_which_groups_there_are_and_not_who_is_in_them(node: NodeUnderTest) -> None:
    node.as_("otto", "data_officer"), node.as_("gil", "guest"), node.as_("ana")
    make(node, "ward", "ana")
    (seen,) = call(node, "otto", "GET", "/groups").json()["items"]
    assert (seen["name"], seen["size"], seen["members"]) == ("ward", 1, None)
    assert call(node, "gil", "GET", "/groups").status_code == 403
    assert code(call(node, "otto", "GET", "/groups/else")) == "object_not_found"


def test_nobody_adds_to_a_group_whose_rules_give_more_than_they_have(node: NodeUnderTest) -> None:
    node.as_("adam", "admin"), node.as_("ana")
    make(node, "ward", user="adam")
    births = dataset(node, user="otto", raw=["group:ward"])
    for member in ("adam", "ana"):
        refused = call(node, "adam", "PATCH", "/groups/ward", add=[member])
        assert (code(refused), "births" in refused.json()["detail"]) == ("not_authorized", False)
    assert verbs(node, "adam", births) is None
    assert call(node, "bob", "PATCH", "/groups/ward", add=["ana"]).status_code == 200
    assert verbs(node, "ana", births) == ["discover", "describe", "raw"]
    assert call(node, "adam", "PATCH", "/groups/ward", remove=["ana"]).status_code == 200
    lists = {"raw": ["group:ward", "adam"]}
    call(node, "otto", "PATCH", f"/datasets/{births['id']}", access=lists)
    assert call(node, "adam", "PATCH", "/groups/ward", add=["ana"]).status_code == 200


def test_a_conditional_right_is_no_right_to_give(node: NodeUnderTest) -> None:
    node.as_("adam", "admin"), node.as_("ana")
    make(node, "ward", user="adam")
    dataset(node, raw=["group:ward", {"who": "adam", "times": 5}])
    assert call(node, "adam", "PATCH", "/groups/ward", add=["ana"]).status_code == 403


def test_members_are_accounts_or_identities(node: NodeUnderTest) -> None:
    node.as_("ana")
    refused = make(node, "ward", "ana", "nobody")
    assert (code(refused), "nobody" in refused.json()["detail"]) == ("invalid_input", True)
    assert make(node, "ward", "ana", "dana@grid").status_code == 201
    assert code(make(node, "ward")) == "already_exists"
    for name in ("Ward", "", "w", "group:x", "a b"):
        assert make(node, name).status_code == 422


def test_a_gateway_is_told_of_the_identities_in_a_group_and_of_no_account(node: NodeUnderTest) -> None:
    node.as_("ana")
    make(node, "ward", "ana", "dana@grid")
    dataset(node, discover=["group:ward"])
    with node.node.database.read() as db:
        (entry,) = dataset_entries(db, node.node.clock())
    assert entry.discover == ["dana@grid"]
    call(node, "bob", "PATCH", "/groups/ward", remove=["dana@grid"])
    with node.node.database.read() as db:
        assert dataset_entries(db, node.node.clock()) == []


def test_the_rules_that_name_a_group_are_counted(node: NodeUnderTest) -> None:
    node.as_("ana")
    make(node, "ward", "ana")
    births = dataset(node, compute=["group:ward"], raw=["group:ward"])
    listed = call(node, "bob", "GET", f"/datasets/{births['id']}/rules").json()["items"]
    assert [(rule["verb"], rule["who"], rule["used"]) for rule in listed] == [
        ("compute", "group:ward", 0),
        ("raw", "group:ward", 0),
    ]
    assert call(node, "bob", "GET", "/groups/ward").json()["rules"] == 2


def test_every_act_on_a_group_is_in_the_audit_log(node: NodeUnderTest) -> None:
    make(node, "ward")
    call(node, "bob", "PATCH", "/groups/ward", description="Doctors")
    call(node, "bob", "DELETE", "/groups/ward")
    found = [one["action"] for one in call(node, "bob", "GET", "/audit?subject=ward").json()["items"]]
    assert found == ["delete_group", "change_group", "create_group"]


def test_a_token_that_may_not_publish_opens_none_of_its_holders_data(node: NodeUnderTest) -> None:
    node.as_("ana")
    make(node, "ward")
    births = dataset(node, raw=["group:ward"])
    body = {"name": "adds people", "scopes": ["manage_users"], "lifetime_s": 3600, "password": PASSWORD}
    made = call(node, "bob", "POST", "/service-tokens", **body)
    assert made.status_code == 201, made.text
    narrow = {"Authorization": f"Bearer {made.json()['token']}"}
    refused = node.client.patch("/v1/groups/ward", json={"add": ["ana"]}, headers=narrow)
    assert code(refused) == "not_authorized"
    assert verbs(node, "ana", births) is None
    assert call(node, "bob", "PATCH", "/groups/ward", add=["ana"]).status_code == 200
