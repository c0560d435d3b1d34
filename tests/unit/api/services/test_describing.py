"""Who may find a dataset, and who may see what it holds: columns, shapes, counts, ranges, checks."""

import secrets
from typing import Any

import numpy as np
import pytest

from gridward.api import catalogue
from tests.support.asking import put
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, ask, code, column, values
from tests.support.trainings import begin, body_of

Said = dict[str, Any]
ROWS = np.arange(40.0)
HIDDEN = ("rows", "entity", "rows_are_entities", "disclosure", "min_rows")
TOLD = "Births of the ward\nwith a column of secret weights"


def made(node: NodeUnderTest, **access: Any) -> Said:
    about = {"description": TOLD, "bounds": {"weight": {"low": 0, "high": 50}}, "tags": ["#births"]}
    name = f"d-{secrets.token_hex(4)}"
    return publish(node, node.as_("bob"), {"weight": ROWS}, name=name, access=access, **about)


def seen(node: NodeUnderTest, headers: Headers, of: Said) -> Said:
    answer = node.client.get(f"/v1/datasets/{of['id']}", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def found(node: NodeUnderTest, headers: Headers, words: str) -> list[str]:
    answer = node.client.get("/v1/datasets", params={"q": words}, headers=headers)
    return [item["id"] for item in answer.json()["items"]]


def change(node: NodeUnderTest, of: Said, **patch: Any) -> Said:
    answer = node.client.patch(f"/v1/datasets/{of['id']}", json=patch, headers=node.as_("bob"))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_who_finds_a_dataset_sees_what_it_holds_unless_its_owner_names_who_may(ward: NodeUnderTest) -> None:
    births = made(ward, discover=["ana", "eve"])
    ana, eve = ward.as_("ana"), ward.as_("eve")
    assert seen(ward, ana, births)["rows"] == len(ROWS)
    change(ward, births, access={"discover": ["ana", "eve"], "describe": ["eve"]})
    little, all_of_it = seen(ward, ana, births), seen(ward, eve, births)
    assert [little[name] for name in HIDDEN] == [None] * len(HIDDEN)
    assert (little["tensors"], little["bounds"], little["verbs"]) == ([], {}, ["discover"])
    assert (little["description"], little["tags"]) == ("Births of the ward", ["#births"])
    assert all_of_it["verbs"] == ["discover", "describe"]
    assert (all_of_it["rows"], all_of_it["description"]) == (len(ROWS), TOLD)
    assert all_of_it["tensors"] == seen(ward, ward.as_("bob"), births)["tensors"] != []


@pytest.mark.parametrize("verb", ["compute", "raw", "train", "export_model", "approve"])
def test_who_may_do_more_may_describe_as_long_as_that_rule_lasts(ward: NodeUnderTest, verb: str) -> None:
    births = made(ward, discover=["ana"], describe=[], **{verb: ["ana"]})
    assert seen(ward, ward.as_("ana"), births)["verbs"] == ["discover", "describe", verb]
    change(ward, births, access={"discover": ["ana"]})
    assert seen(ward, ward.as_("ana"), births)["tensors"] == []


def test_no_word_error_plan_or_request_tells_what_may_not_be_seen(ward: NodeUnderTest) -> None:
    births, ana = made(ward, discover=["ana"], describe=["eve"]), ward.as_("ana")
    right = column(births, "weight").sum()
    renamed = {**births, "tensors": [births["tensors"][0] | {"name": "nothing"}]}
    wrong = column(renamed, "nothing").sum()
    refusals = [ask(ward, ana, right), ask(ward, ana, wrong), put(ward, ana, right), put(ward, ana, wrong)]
    refusals += [begin(ward, ana, body_of(births))]
    assert {code(one) for one in refusals} == {"not_authorized"}
    assert len({one.json()["detail"] for one in refusals}) == 1
    hidden = made(ward, describe=["eve"])
    assert code(ask(ward, ana, column(hidden, "weight").sum())) == "object_not_found"
    assert births["id"] in found(ward, ana, births["name"])
    assert births["id"] not in found(ward, ana, "secret weights")
    assert births["id"] in found(ward, ward.as_("eve"), "secret weights")
    assert births["id"] in found(ward, ward.as_("bob"), "secret weights")


def test_the_first_rule_to_describe_takes_it_from_those_who_only_find_it(ward: NodeUnderTest) -> None:
    births, ana = made(ward, discover=["ana"]), ward.as_("ana")
    path, bob = f"/v1/datasets/{births['id']}/rules", ward.as_("bob")
    rule = ward.client.post(path, json={"verb": "describe", "who": "eve"}, headers=bob).json()
    assert seen(ward, ana, births)["tensors"] == []
    assert ward.client.delete(f"{path}/{rule['id']}", headers=bob).status_code == 204
    assert seen(ward, ana, births)["tensors"] == []
    lists = seen(ward, bob, births)["access"]
    assert lists["describe"] == []
    assert change(ward, births, access=lists)["describe_apart"]
    assert change(ward, births, access={"discover": ["ana"]})["describe_apart"]
    assert not change(ward, births, describe_apart=False)["describe_apart"]
    assert seen(ward, ana, births)["rows"] == len(ROWS)


def test_a_right_to_describe_that_is_taken_back_closes_what_was_computed_by_it(ward: NodeUnderTest) -> None:
    births, ana = made(ward, discover=["ana"], compute=["ana"], describe=[]), ward.as_("ana")
    total = column(births, "weight").sum()
    assert values(ask(ward, ana, total))[0].item() == ROWS.sum()
    change(ward, births, access={"discover": ["ana"]})
    assert code(ask(ward, ana, total)) == "not_authorized"


def test_a_gateway_is_told_no_more_than_who_finds_the_dataset(ward: NodeUnderTest) -> None:
    open_, apart = made(ward, discover=["ana"]), made(ward, discover=["ana"], describe=["ana"])
    with ward.node.database.read() as db:
        told = {one.id: one for one in catalogue.dataset_entries(db, ward.node.clock())}
    assert (told[open_["id"]].rows, told[open_["id"]].description) == (len(ROWS), TOLD)
    entry = told[apart["id"]]
    assert (entry.rows, entry.tensors, entry.description) == (None, [], "Births of the ward")


def test_a_look_through_somebodys_eyes_shows_no_more_than_they_see(ward: NodeUnderTest) -> None:
    births = made(ward, discover=["ana"], describe=["eve"])
    ward.as_("ana")
    body = {"who": "ana"}
    path = f"/v1/datasets/{births['id']}/preview"
    said = ward.client.post(path, json=body, headers=ward.as_("bob")).json()
    assert (said["sees"]["tensors"], said["sees"]["rows"]) == ([], None)
    assert [one["verb"] for one in said["verbs"]] == ["discover"]
