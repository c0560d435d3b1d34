"""Where rules that are counted, versions of data and checks of what is behind a value meet."""

import secrets
from typing import Any

import numpy as np
import pytest
from sqlmodel import col, select

from gridward.api.tables.rules import AccessRule
from gridward.core.schemas.uploads import MediaType
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
