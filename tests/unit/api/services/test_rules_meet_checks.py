"""Where rules that are counted, versions of data and checks of what is behind a value meet."""

import secrets
from typing import Any

import numpy as np
import pytest
from sqlmodel import col, select

from gridward.api.provenance import Behind, grants
from gridward.api.tables.accounts import User
from gridward.api.tables.rules import AccessRule
from gridward.core.schemas.accounts import RoleName
from gridward.core.schemas.uploads import MediaType
from gridward.server.principals import Principal
from tests.support.files import publish, safetensors, upload
from tests.support.nodes import NodeUnderTest
from tests.support.questions import ask, code, column, kept, question, values

ROWS = np.arange(40.0)


def made(node: NodeUnderTest, **more: Any) -> dict[str, Any]:
    return publish(node, node.as_("bob"), {"x": ROWS}, name=f"d-{secrets.token_hex(3)}", **more)


def replaced(node: NodeUnderTest, dataset: dict[str, Any], rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    bob = node.as_("bob")
    sent = upload(node, bob, safetensors({"x": rows}), MediaType.SAFETENSORS)
    answer = node.client.put(f"/v1/datasets/{dataset['id']}/content", json={"upload_id": sent}, headers=bob)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def used(node: NodeUnderTest, dataset: dict[str, Any]) -> int:
    rules = node.client.get(f"/v1/datasets/{dataset['id']}/rules", headers=node.as_("bob")).json()["items"]
    return sum(rule["used"] for rule in rules)


def test_a_counted_right_to_the_rows_checks_nothing_away_of_what_is_kept(node: NodeUnderTest) -> None:
    ana = node.as_("ana")
    dataset = made(node, access={"compute": ["ana"], "raw": [{"who": "ana", "times": 1}]})
    x = column(dataset, "x")
    single = x.where(x == 7.0, 0).sum()
    assert code(ask(node, ana, single, release=False)) == "result_suppressed"
    assert used(node, dataset) == 0


def test_two_versions_behind_one_answer_take_one_use(node: NodeUnderTest) -> None:
    ana = node.as_("ana")
    dataset = made(node, access={"compute": ["ana"], "raw": [{"who": "ana", "times": 5}]})
    first = ask(node, ana, column(dataset, "x") * 1.0, release=False).json()["objects"][0]
    second = replaced(node, dataset, ROWS + 1)
    assert ask(node, ana, kept(first), column(second, "x")).status_code == 200
    assert used(node, dataset) == 1


def test_an_attempt_at_another_version_is_decided_anew(node: NodeUnderTest) -> None:
    ana, attempt = node.as_("ana"), secrets.token_hex(16)
    dataset = made(node, access={"compute": [{"who": "ana", "times": 1}]})

    def tried(version: dict[str, Any]) -> Any:
        body = question(column(version, "x").sum()) | {"attempt": attempt}
        return node.client.post("/v1/computations", json=body, headers=ana)

    assert values(tried(dataset)) == values(tried(dataset))
    assert tried(replaced(node, dataset, ROWS + 1)).status_code >= 400
    assert used(node, dataset) == 1


@pytest.mark.parametrize("name", ["tally.0", "sides.0", "guard.0"])
def test_an_output_with_the_name_of_a_check_stands_for_none(node: NodeUnderTest, name: str) -> None:
    ana = node.as_("ana")
    strict = {"entities": 10, "largest_two": None, "p_ratio": None}
    dataset = made(node, access={"compute": ["ana"]}, min_rows=1, disclosure=strict)
    x = column(dataset, "x")
    asked = question(x.where(x < 3.5, 0.0).sum(), (x * 0).sum(), release=False)
    for output in asked["plan"]["outputs"]:
        output["name"] = name if output["name"] == "y1" else output["name"]
    assert code(node.client.post("/v1/computations", json=asked, headers=ana)) == "result_suppressed"
    honest = question((x * 1.0).sum(), (x * 2.0).sum())
    for output in honest["plan"]["outputs"]:
        output["name"] = name if output["name"] == "y1" else output["name"]
    assert node.client.post("/v1/computations", json=honest, headers=ana).status_code == 200


def test_rows_outside_every_bin_are_a_group_too(node: NodeUnderTest) -> None:
    ana = node.as_("ana")
    dataset = made(node, access={"compute": ["ana"]})
    assert code(ask(node, ana, column(dataset, "x").histc(2, 0.0, 38.0))) == "result_suppressed"
    assert ask(node, ana, column(dataset, "x").histc(2, 0.0, 39.0)).status_code == 200


def test_what_was_made_of_a_former_version_is_judged_by_its_own_entities(node: NodeUnderTest) -> None:
    ana, bob = node.as_("ana"), node.as_("bob")
    people = {"x": ROWS, "person": np.repeat(np.arange(20), 2)}
    access = {"compute": ["ana"], "train": ["ana"], "export_model": ["ana"]}
    told: dict[str, Any] = {"entity": "person", "disclosure": {"entities": 15}, "access": access}
    visits = publish(node, bob, people, name=f"d-{secrets.token_hex(3)}", **told)
    x = column(visits, "x")
    total, rows = (
        ask(node, ana, made, release=False).json()["objects"][0] for made in (x.sum() * 1.0, x * 1.0)
    )
    behind = Behind(visits["id"], 1, len(ROWS))
    fewer = {"x": ROWS[:30], "person": np.repeat(np.arange(10), 3)}
    sent = upload(node, bob, safetensors(fewer), MediaType.SAFETENSORS)
    path = f"/v1/datasets/{visits['id']}"
    assert node.client.put(f"{path}/content", json={"upload_id": sent}, headers=bob).status_code == 200
    assert values(ask(node, ana, kept(total)))[0].item() == ROWS.sum()
    for asked in (kept(rows).sum(), kept(rows).where(kept(rows) < 20, 0).sum()):
        assert code(ask(node, ana, asked)) == "result_suppressed"
        last = node.client.get("/v1/audit", params={"limit": 1}, headers=bob).json()["items"][0]
        assert last["reason"] == "entities_unknown"
        assert code(ask(node, ana, asked, release=False)) == "result_suppressed"
    assert code(ask(node, ana, column(visits, "x").sum())) == "result_suppressed"
    caller = Principal("ana", RoleName.DATA_SCIENTIST, account(node, "ana"), "")
    with node.node.database.read() as db:
        (former,) = grants(caller, db, [behind], node.node.clock())
        (current,) = grants(caller, db, [Behind(visits["id"], 2, 30)], node.node.clock())
    assert (former.entities, former.most_rows, current.entities, current.most_rows) == (20, 2, 10, 3)
    listed = node.client.get(f"{path}/versions", headers=bob).json()["items"]
    assert [(one["version"], one["entities"]) for one in listed] == [(2, 10), (1, 20)]


def account(node: NodeUnderTest, name: str) -> str:
    with node.node.database.read() as db:
        return db.exec(select(User.id).where(col(User.username) == name)).one()


def test_a_list_that_is_written_leaves_no_rule_that_it_does_not_name(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    node.as_("ana")
    dataset = made(node, access={"raw": ["ana"]})
    with node.node.database.write() as db:  # as two writers at once could leave it before rules were locked
        about = col(AccessRule.dataset_id) == dataset["id"]
        first = db.exec(select(AccessRule).where(about)).one()
        db.add(AccessRule(**first.model_dump() | {"id": "rul-again"}))
    path = f"/v1/datasets/{dataset['id']}"
    assert node.client.patch(path, json={"access": {"compute": ["ana"]}}, headers=bob).status_code == 200
    rules = node.client.get(f"{path}/rules", headers=bob).json()["items"]
    assert [(rule["verb"], rule["who"]) for rule in rules] == [("compute", "ana")]
