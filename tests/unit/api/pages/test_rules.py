"""Rules on the pages: added, ended and looked through by those who manage the thing, and by nobody else."""

import re
from typing import Any

import pytest

from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.visitors import BROWSER, Visitor, forms_on, text_of
from tests.unit.api.services.test_datasets import WARD
from tests.unit.api.services.test_models import serve


def rules_of(node: NodeUnderTest, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = node.client.get(f"/v1{path}/rules", headers=node.as_("bob")).json()["items"]
    return items


@pytest.fixture
def path(node: NodeUnderTest) -> str:
    said = publish(node, node.as_("bob"), WARD, access={"discover": ["@signed-in"]})
    return f"/datasets/{said['id']}"


def test_a_rule_with_conditions_is_added_shown_and_ended(node: NodeUnderTest, path: str) -> None:
    bob = Visitor(node.client, "bob")
    page = bob.sends(
        f"{path}/rules",
        verb="compute",
        who="ana",
        last_day="2030-01-31",
        times="3",
        min_rows="20",
        min_entities="15",
    )
    (made,) = [one for one in rules_of(node, path) if one["verb"] == "compute"]
    assert (made["who"], made["times"], made["min_rows"], made["min_entities"]) == ("ana", 3, 20, 15)
    assert made["until"] == "2030-02-01T00:00:00Z"
    said = text_of(page.text)
    assert "0 of 3 times used" in said
    assert "over 20 rows or more, over 15 entities or more" in said
    bob.sends(f"{path}/rules/{made['id']}/end")
    assert [one["verb"] for one in rules_of(node, path)] == ["discover"]


@pytest.mark.parametrize(
    "wrong",
    [{"who": "no spaces"}, {"verb": "fly"}, {"times": "0"}, {"last_day": "9999-12-31"}, {"plan": "x"}],
)
def test_a_rule_that_cannot_be_is_refused_and_changes_nothing(
    node: NodeUnderTest, path: str, wrong: dict[str, str]
) -> None:
    form = {"verb": "compute", "who": "ana"} | wrong
    assert Visitor(node.client, "bob").send(f"{path}/rules", **form).status_code == 422
    assert len(rules_of(node, path)) == 1


def test_who_does_not_manage_a_dataset_adds_and_ends_no_rule_of_it(node: NodeUnderTest, path: str) -> None:
    (held,) = rules_of(node, path)
    for name, role in (("ana", "data_scientist"), ("cleo", "data_officer"), ("ada", "admin")):
        node.as_(name, role)
        visitor = Visitor(node.client, name)
        assert forms_on(visitor.shows(path)) == set()
        assert visitor.send(f"{path}/rules", verb="raw", who=name).status_code == 403
        assert visitor.send(f"{path}/rules/{held['id']}/end").status_code == 403
        assert visitor.send(f"{path}/preview", who="bob").status_code == 403
    assert rules_of(node, path) == [held]
    assert Visitor(node.client, "bob").send(f"{path}/rules/rule-missing/end").status_code == 404


def test_a_look_through_somebodys_eyes_says_what_they_may_and_why(node: NodeUnderTest, path: str) -> None:
    node.as_("ana")
    bob = Visitor(node.client, "bob")
    bob.sends(f"{path}/rules", verb="raw", who="role:data_scientist", times="2")
    said = text_of(bob.sends(f"{path}/preview", who="ana").text)
    assert "Data scientist. Finds it here" in said
    assert "raw : as role:data_scientist, 0 of 2 times used" in said
    form = {"form_token": bob.token(), "who": "ana"}
    part = bob.client.post(f"{path}/preview", data=form, headers=BROWSER | {"HX-Request": "true"}).text
    assert "<html" not in part
    assert re.search(r'id="refusal"', part) is None
    assert bob.send(f"{path}/preview", who="nobody").status_code == 404


def test_who_finds_a_dataset_sees_no_columns_once_somebody_else_is_named(
    node: NodeUnderTest, path: str
) -> None:
    node.as_("ana")
    bob, ana = Visitor(node.client, "bob"), Visitor(node.client, "ana")
    assert "weight" in ana.shows(path)
    bob.sends(f"{path}/rules", verb="describe", who="eve")
    for place in (path, "/datasets"):
        assert "weight" not in ana.shows(place)
    assert "may let you describe it" in text_of(ana.shows(path))
    assert "describe_apart" in bob.shows(f"{path}/edit")
    assert "weight" in bob.shows(path)


def test_models_have_rules_too(node: NodeUnderTest) -> None:
    serve(node, node.as_("carol"), access={})
    carol = Visitor(node.client, "carol")
    carol.sends("/models/diagnosis/rules", verb="infer", who="dana", times="5")
    (made,) = rules_of(node, "/models/diagnosis")
    assert (made["who"], made["verb"], made["times"]) == ("dana", "infer", 5)
    assert "0 of 5 times used" in text_of(carol.shows("/models/diagnosis"))
    carol.sends(f"/models/diagnosis/rules/{made['id']}/end")
    assert rules_of(node, "/models/diagnosis") == []
