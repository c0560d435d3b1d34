"""What would Ana get? What she gets, with the rules that give it, and without a trace in her account."""

import secrets
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from sqlmodel import func, select

from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.requests import Released
from gridward.api.tables.rules import AccessRule
from gridward.core.plans.expression import Expression
from gridward.core.schemas.accounts import RoleName
from tests.support.asking import approve, asked
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import ask, code, column, question, values

Said = dict[str, Any]
ROWS = np.arange(40.0)


@pytest.fixture
def births(ward: NodeUnderTest) -> Said:
    """A dataset of olga's, a data officer, for each test; ana may have its values three times."""
    ward.as_("ana"), ward.as_("eve"), ward.as_("otto", "data_officer")
    access = {"discover": ["@signed-in"], "raw": [{"who": "ana", "times": 3}], "approve": ["otto"]}
    name = f"d-{secrets.token_hex(4)}"
    return publish(ward, ward.as_("olga", "data_officer"), {"x": ROWS}, name=name, access=access)


def look(ward: NodeUnderTest, of: Said, who: str, *answers: Expression, by: str = "olga") -> Response:
    body: Said = {"who": who}
    if answers:
        asks = question(*answers)
        body["question"] = {"plan": asks["plan"], "sources": asks["sources"]}
    return ward.client.post(f"/v1/datasets/{of['id']}/preview", json=body, headers=ward.as_(by))


def decided(ward: NodeUnderTest, of: Said, who: str, answer: Expression) -> Said:
    seen = look(ward, of, who, answer)
    assert seen.status_code == 200, seen.text
    decision: Said = seen.json()["decision"]
    return decision


def change(ward: NodeUnderTest, of: Said, **access: Any) -> None:
    path = f"/v1/datasets/{of['id']}"
    answer = ward.client.patch(path, json={"access": access}, headers=ward.as_("olga"))
    assert answer.status_code == 200, answer.text


def test_it_names_what_she_may_and_the_rules_that_give_it(ward: NodeUnderTest, births: Said) -> None:
    seen = look(ward, births, "ana").json()
    assert [one["verb"] for one in seen["verbs"]] == ["discover", "describe", "raw"]
    (rule,) = seen["verbs"][2]["rules"]
    assert (rule["who"], rule["times"], rule["made_by"]) == ("ana", 3, "olga")
    assert (seen["role"], seen["locked_out"], seen["in_gateways"]) == ("data_scientist", False, False)
    path = f"/v1/datasets/{births['id']}"
    assert seen["sees"] == ward.client.get(path, headers=ward.as_("ana")).json()


@pytest.mark.parametrize(
    ("who", "verbs"),
    [
        ("ana", ["discover", "describe", "raw"]),
        ("eve", ["discover", "describe"]),
        ("otto", ["discover", "describe", "approve"]),
        ("stranger@grid", ["discover", "describe"]),
        ("role:guest", ["discover", "describe"]),
        ("@signed-in", ["discover", "describe"]),
        ("bob", ["discover", "describe", "compute", "raw", "train", "export_model", "approve"]),
    ],
)
def test_anybody_can_be_looked_through(ward: NodeUnderTest, births: Said, who: str, verbs: list[str]) -> None:
    seen = look(ward, births, who).json()
    assert [one["verb"] for one in seen["verbs"]] == verbs
    assert seen["in_gateways"] == (who in ("stranger@grid", "@signed-in"))
    assert seen["sees"]["access"] is None


def test_a_group_and_a_custom_role_are_looked_through_by_name(ward: NodeUnderTest, births: Said) -> None:
    group, role = f"g{secrets.token_hex(4)}", f"r{secrets.token_hex(4)}"
    bob = ward.as_("bob")
    ward.client.post("/v1/groups", json={"name": group, "members": ["dana@grid"]}, headers=bob)
    ward.client.post("/v1/roles", json={"name": role, "capabilities": ["infer"]}, headers=bob)
    change(ward, births, discover=[f"group:{group}"], compute=[f"group:{group}", f"role:{role}"])
    assert [one["verb"] for one in look(ward, births, f"group:{group}").json()["verbs"]] == [
        "discover",
        "describe",
        "compute",
    ]
    seen = look(ward, births, f"role:{role}", column(births, "x").sum()).json()
    assert (seen["capabilities"], seen["role"]) == (["infer"], role)
    assert (seen["decision"]["answer"], "may not compute" in seen["decision"]["detail"]) == ("refused", True)
    assert look(ward, births, "dana@grid").json()["in_gateways"]
    assert code(look(ward, births, "group:nobody-made")) == "invalid_input"
    assert code(look(ward, births, "nobody")) == "object_not_found"


def test_the_decision_is_the_one_that_she_would_get_and_nothing_is_used_or_told(
    ward: NodeUnderTest, births: Said
) -> None:
    x = column(births, "x")
    with ward.node.database.read() as db:
        before = db.exec(select(func.count()).select_from(Released)).one()
    rows = decided(ward, births, "ana", x)
    assert (rows["answer"], rows["reason"], len(rows["rules"])) == ("value", "raw_access", 1)
    assert not rows["data_decides"]
    with ward.node.database.read() as db:
        assert db.exec(select(func.count()).select_from(Released)).one() == before
        assert {row.used for row in db.exec(select(AccessRule)) if row.dataset_id == births["id"]} == {0}
        found = [row for row in db.exec(select(AuditEntry)) if births["id"] in row.subject]
    assert [(row.actor, row.action, row.reason) for row in found[1:]] == [("olga", "preview_access", "ana")]
    for _ in range(3):
        assert len(values(ask(ward, ward.as_("ana"), x))[0]) == len(ROWS)
    assert decided(ward, births, "ana", x)["answer"] == "refused"


def test_groups_that_only_the_values_tell_are_left_open(ward: NodeUnderTest, births: Said) -> None:
    change(ward, births, compute=["eve", {"who": "ana", "min_rows": 41}])
    x = column(births, "x")
    total = decided(ward, births, "eve", x.where(x < 2, 0).sum())
    assert (total["answer"], total["reason"], total["data_decides"]) == ("value", "aggregate", True)
    assert decided(ward, births, "ana", x.sum())["answer"] == "suppressed"
    change(ward, births, compute=["eve", {"who": "ana", "min_entities": 41}])
    assert decided(ward, births, "ana", x.sum())["reason"] == "too_few_entities"
    assert decided(ward, births, "eve", x)["reason"] == "not_an_aggregate"
    assert decided(ward, births, "otto", x.sum())["detail"].startswith(f"no dataset '{births['id']}'")


def test_its_digest_pins_a_rule_to_the_question(ward: NodeUnderTest, births: Said) -> None:
    x = column(births, "x")
    pinned = decided(ward, births, "eve", x * 2)["standing"]
    change(ward, births, raw=[{"who": "eve", "plan": pinned}])
    assert decided(ward, births, "eve", x * 2)["answer"] == "value"
    assert len(values(ask(ward, ward.as_("eve"), x * 2))[0]) == len(ROWS)
    assert code(ask(ward, ward.as_("eve"), x * 3)) == "get_not_permitted"


def test_requests_of_hers_count_too(ward: NodeUnderTest, births: Said) -> None:
    x = column(births, "x")
    request = asked(ward, ward.as_("eve"), x * 4)
    assert decided(ward, births, "eve", x * 4)["answer"] == "pending"
    assert approve(ward, ward.as_("olga"), request).status_code == 200
    assert decided(ward, births, "eve", x * 4)["reason"] == "approved"
    assert len(values(ask(ward, ward.as_("eve"), x * 4))[0]) == len(ROWS)


def test_who_is_locked_out_gets_nothing(ward: NodeUnderTest, births: Said) -> None:
    ward.as_("lotte")
    change(ward, births, raw=["lotte"])
    path = "/v1/users/lotte"
    ward.client.patch(path, json={"disabled": True}, headers=ward.as_("bob"))
    seen = look(ward, births, "lotte", column(births, "x")).json()
    assert (seen["locked_out"], seen["verbs"], seen["sees"]) == (True, [], None)
    assert seen["decision"]["answer"] == "refused"
    ward.client.patch(path, json={"disabled": False}, headers=ward.as_("bob"))
    ward.node.settings.second_factor_roles = frozenset({RoleName.DATA_SCIENTIST})
    try:
        assert look(ward, births, "lotte").json()["locked_out"]
    finally:
        ward.node.settings.second_factor_roles = frozenset()


def test_only_those_who_write_rules_or_answer_requests_look(ward: NodeUnderTest, births: Said) -> None:
    assert look(ward, births, "ana", by="otto").status_code == 200
    assert look(ward, births, "ana", by="bob").status_code == 200
    for by in ("ana", "eve"):
        assert code(look(ward, births, "ana", by=by)) == "not_authorized"
    hidden = publish(ward, ward.as_("bob"), {"x": ROWS}, name=f"h-{births['id']}")
    assert code(look(ward, hidden, "ana")) == "object_not_found"
    both = column(births, "x").sum() + column(hidden, "x").sum()
    assert code(look(ward, births, "ana", both)) == "object_not_found"
    open_to_all = publish(
        ward, ward.as_("bob"), {"x": ROWS}, name=f"o-{births['id']}", access={"compute": ["@signed-in"]}
    )
    both = column(births, "x").sum() + column(open_to_all, "x").sum()
    assert code(look(ward, births, "ana", both)) == "not_authorized"


def test_what_the_plan_alone_shows_to_be_suppressed_is_foretold(ward: NodeUnderTest, births: Said) -> None:
    wide = {f"x{at}": ROWS * (at + 1) for at in range(9)}
    olga = ward.as_("olga")
    name = f"d-{secrets.token_hex(4)}"
    table = publish(
        ward, olga, {"x": np.stack(list(wide.values()), 1)[:20]}, name=name, access={"compute": ["ana"]}
    )
    x = column(table, "x")
    products = x.T @ x
    assert code(ask(ward, ward.as_("ana"), products)) == "result_suppressed"
    assert decided(ward, table, "ana", products)["answer"] == "suppressed"
