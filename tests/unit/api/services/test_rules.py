"""Rules with conditions: until a date, so many times, one plan only, over so many rows; listed and ended."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from sqlmodel import select

from gridward.api.queries_access import uses_of_run
from gridward.api.services.decisions import end_approvals, forget_answers
from gridward.api.tables.accounts import AuditEntry, User
from gridward.api.tables.rules import RuleUse
from gridward.core.plans.expression import Expression
from gridward.server.settings import NodeSettings
from tests.support.asking import asked
from tests.support.files import publish
from tests.support.gateways import MovingClock
from tests.support.nodes import NodeUnderTest, running_node
from tests.support.questions import ask, code, column, question, values
from tests.unit.api.services.test_models import QUERY, serve

Said = dict[str, Any]
ROWS = np.arange(40.0)


@pytest.fixture(scope="module")
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, clock: MovingClock) -> Iterator[NodeUnderTest]:
    settings = NodeSettings(
        data_dir=tmp_path_factory.mktemp("rules") / "node",
        password_memory_kib=1024,
        password_passes=1,
        plan_workers=1,
        access_token_s=86_400,
    )
    with running_node(settings, clock) as under_test:
        under_test.as_("ana")
        yield under_test


def dataset(node: NodeUnderTest, **access: Any) -> Said:
    name = f"d-{secrets.token_hex(4)}"
    return publish(node, node.as_("bob"), {"x": ROWS, "few": ROWS < 5}, name=name, access=access)


def rules(node: NodeUnderTest, of: Said) -> list[Said]:
    listed = node.client.get(f"/v1/datasets/{of['id']}/rules", headers=node.as_("bob"))
    assert listed.status_code == 200, listed.text
    return list(listed.json()["items"])


def change(node: NodeUnderTest, of: Said, **access: Any) -> Response:
    return node.client.patch(f"/v1/datasets/{of['id']}", json={"access": access}, headers=node.as_("bob"))


def attempt(node: NodeUnderTest, name: str, answer: Expression) -> Response:
    body = question(answer) | {"attempt": name}
    return node.client.post("/v1/computations", json=body, headers=node.as_("ana"))


def verbs(node: NodeUnderTest, of: Said) -> list[str] | None:
    answer = node.client.get(f"/v1/datasets/{of['id']}", headers=node.as_("ana"))
    return answer.json()["verbs"] if answer.status_code == 200 else None


def test_a_rule_ends_at_its_moment_and_with_it_that_one_can_find_the_data(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    until = (clock.now + timedelta(seconds=60)).isoformat()
    births = dataset(node, raw=[{"who": "ana", "until": until}])
    assert np.array_equal(values(ask(node, node.as_("ana"), column(births, "x")))[0].numpy(), ROWS)
    assert verbs(node, births) == ["discover", "describe", "raw"]
    clock.forward(60)
    assert code(ask(node, node.as_("ana"), column(births, "x"))) == "object_not_found"
    assert verbs(node, births) is None
    assert len(rules(node, births)) == 1


@pytest.mark.parametrize("verb", ["compute", "raw"])
def test_of_many_at_once_no_more_get_a_value_than_the_rule_has_times(node: NodeUnderTest, verb: str) -> None:
    births = dataset(node, **{verb: [{"who": "ana", "times": 2}]})
    total, ana = column(births, "x").sum(), node.as_("ana")
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: ask(node, ana, total), range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 403, 403, 403]
    assert [rule["used"] for rule in rules(node, births)] == [2]
    assert code(ask(node, ana, total)) == "get_not_permitted"
    assert verbs(node, births) == ["discover", "describe"]


def test_a_lost_answer_is_given_again_without_counting_until_the_rule_is_ended(node: NodeUnderTest) -> None:
    births = dataset(node, discover=["ana"], compute=[{"who": "ana", "times": 1}])
    total = column(births, "x").sum()
    name = secrets.token_hex(16)
    assert [values(attempt(node, name, total))[0].item() for _ in range(3)] == [ROWS.sum()] * 3
    assert [rule["used"] for rule in rules(node, births) if rule["verb"] == "compute"] == [1]
    assert code(attempt(node, secrets.token_hex(16), total)) == "get_not_permitted"
    other = attempt(node, name, column(births, "x").mean())
    assert (code(other), "another question" in other.json()["detail"]) == ("conflict", True)
    with node.node.database.read() as db:
        said = [row.action for row in db.exec(select(AuditEntry)) if births["id"] in row.subject]
    assert said.count("release_again") == 2
    (rule,) = [rule for rule in rules(node, births) if rule["verb"] == "compute"]
    path = f"/v1/datasets/{births['id']}/rules/{rule['id']}"
    assert node.client.delete(path, headers=node.as_("bob")).status_code == 204
    assert code(attempt(node, name, total)) == "get_not_permitted"


def test_a_kept_answer_is_forgotten_in_the_end(node: NodeUnderTest, clock: MovingClock) -> None:
    births = dataset(node, compute=[{"who": "ana", "times": 2}])
    total, name = column(births, "x").sum(), secrets.token_hex(16)
    assert values(attempt(node, name, total))[0].item() == ROWS.sum()
    clock.forward(node.node.settings.request_answer_s + 1)
    forget_answers(node.node)
    with node.node.database.read() as db:
        assert not [use for use in db.exec(select(RuleUse)) if use.blob is not None]
    again = attempt(node, name, total)
    assert (code(again), "name a new attempt" in again.json()["detail"]) == ("conflict", True)
    assert values(attempt(node, secrets.token_hex(16), total))[0].item() == ROWS.sum()
    assert code(attempt(node, secrets.token_hex(16), total)) == "get_not_permitted"


def test_uses_go_back_in_the_order_in_which_they_are_taken(node: NodeUnderTest) -> None:
    with node.node.database.write() as db:
        user = db.exec(select(User.id)).first() or ""
        for rule in ("rule-b", "rule-c", "rule-a"):
            use = RuleUse(rule_id=rule, number=1, user_id=user, attempt="trn-7", at=node.node.clock())
            db.add(use)
            db.flush()
        assert [use.rule_id for use in uses_of_run(db, "trn-7")] == ["rule-a", "rule-b", "rule-c"]


def test_a_rule_that_costs_nothing_is_used_before_one_that_is_counted(node: NodeUnderTest) -> None:
    births = dataset(node, compute=["ana"], raw=[{"who": "ana", "times": 1}])
    ana = node.as_("ana")
    assert values(ask(node, ana, column(births, "x").sum()))
    assert [rule["used"] for rule in rules(node, births)] == [0, 0]
    assert len(values(ask(node, ana, column(births, "x")))[0]) == len(ROWS)
    assert code(ask(node, ana, column(births, "x"))) == "get_not_permitted"
    assert values(ask(node, ana, column(births, "x").sum()))


def test_a_refused_or_suppressed_answer_uses_nothing_up(node: NodeUnderTest) -> None:
    births = dataset(node, compute=[{"who": "ana", "times": 1}])
    ana, x = node.as_("ana"), column(births, "x")
    assert code(ask(node, ana, x)) == "get_not_permitted"
    assert code(ask(node, ana, x.where(column(births, "few"), 0).sum())) == "result_suppressed"
    assert [rule["used"] for rule in rules(node, births)] == [0]


def test_a_rule_for_one_question_gives_that_one_only(node: NodeUnderTest) -> None:
    births = dataset(node, discover=["ana"])
    x, ana = column(births, "x"), node.as_("ana")
    request = asked(node, ana, x * 2)
    pinned = {"who": "ana", "plan": request["digest"]}
    assert change(node, births, discover=["ana"], raw=[pinned]).status_code == 200
    assert np.array_equal(values(ask(node, ana, x * 2))[0].numpy(), ROWS * 2)
    for other in (x * 3, x, x.sum()):
        assert code(ask(node, ana, other)) == "get_not_permitted"
    assert verbs(node, births) == ["discover", "describe"]


def test_the_digest_of_a_plan_opens_nothing_since_anything_could_feed_it(node: NodeUnderTest) -> None:
    births = dataset(node, discover=["ana"])
    x, ana = column(births, "x"), node.as_("ana")
    plan = asked(node, ana, x * 2)["plan_digest"]
    change(node, births, compute=["ana"], raw=[{"who": "ana", "plan": plan}])
    (stored,) = ask(node, ana, x * 5, release=False).json()["objects"]
    again = {
        "plan": question(x * 2)["plan"],
        "sources": [{"input": "x0", "object_id": stored["id"]}],
        "release": True,
    }
    assert code(node.client.post("/v1/computations", json=again, headers=ana)) == "get_not_permitted"
    assert code(ask(node, ana, x * 2)) == "request_pending"


def test_a_rule_may_ask_for_more_rows_than_the_dataset_does(node: NodeUnderTest) -> None:
    births = dataset(node, compute=[{"who": "ana", "min_rows": 30}])
    x, ana = column(births, "x"), node.as_("ana")
    assert values(ask(node, ana, x.sum()))
    half = x.where(x < 20, 0).sum()
    assert code(ask(node, ana, half)) == "result_suppressed"
    change(node, births, compute=[{"who": "ana", "min_rows": 30}, {"who": "ana", "times": 1}])
    assert values(ask(node, ana, x.sum()))
    assert values(ask(node, ana, half))
    assert code(ask(node, ana, half)) == "result_suppressed"
    assert values(ask(node, ana, x.sum()))


def test_a_rule_may_ask_for_more_entities_than_the_dataset_does(node: NodeUnderTest) -> None:
    people = {"x": ROWS, "person": np.repeat(np.arange(20), 2)}
    access = {"compute": [{"who": "ana", "min_entities": 15}]}
    told = {"name": f"d-{secrets.token_hex(4)}", "entity": "person", "disclosure": {"entities": 5}}
    visits = publish(node, node.as_("bob"), people, access=access, **told)
    x, ana = column(visits, "x"), node.as_("ana")
    assert values(ask(node, ana, x.sum()))[0].item() == ROWS.sum()
    half = x.where(x < 20, 0).sum()
    assert code(ask(node, ana, half)) == "result_suppressed"
    assert code(ask(node, ana, half, release=False)) == "result_suppressed"
    change(node, visits, compute=[{"who": "ana", "min_entities": 21}])
    assert code(ask(node, ana, x.sum())) == "result_suppressed"
    change(node, visits, compute=["ana"])
    assert values(ask(node, ana, half))[0].item() == ROWS[:20].sum()


def test_what_is_kept_passes_the_strictest_rule_that_could_release_it(node: NodeUnderTest) -> None:
    births = dataset(node, compute=[{"who": "ana", "min_rows": 30}, {"who": "ana", "times": 1}])
    x, ana = column(births, "x"), node.as_("ana")
    assert code(ask(node, ana, x.where(x < 20, 0).sum(), release=False)) == "result_suppressed"
    assert ask(node, ana, x.sum(), release=False).status_code == 200
    assert [rule["used"] for rule in rules(node, births)] == [0, 0]


def test_writing_the_same_lists_again_keeps_each_rule_and_its_count(node: NodeUnderTest) -> None:
    births = dataset(node, discover=["ana"], compute=[{"who": "ana", "times": 2}, "bob"])
    assert values(ask(node, node.as_("ana"), column(births, "x").sum()))
    before = rules(node, births)
    lists = node.client.get(f"/v1/datasets/{births['id']}", headers=node.as_("bob")).json()["access"]
    assert lists["compute"][0] == "bob"
    assert change(node, births, **lists).status_code == 200
    assert rules(node, births) == before
    change(node, births, compute=[{"who": "ana", "times": 3}])
    assert [rule["used"] for rule in rules(node, births)] == [0]


def test_one_rule_is_added_listed_and_ended_by_who_manages_the_data(node: NodeUnderTest) -> None:
    births = dataset(node, discover=["ana"])
    path, bob, ana = f"/v1/datasets/{births['id']}/rules", node.as_("bob"), node.as_("ana")
    body = {"verb": "compute", "who": "ana", "times": 1}
    made = node.client.post(path, json=body, headers=bob).json()
    assert (made["made_by"], made["used"], made["times"]) == ("bob", 0, 1)
    assert code(node.client.post(path, json=body, headers=bob)) == "conflict"
    assert verbs(node, births) == ["discover", "describe", "compute"]
    for answer in (
        node.client.get(path, headers=ana),
        node.client.post(path, json=body, headers=ana),
        node.client.delete(f"{path}/{made['id']}", headers=ana),
    ):
        assert code(answer) == "not_authorized"
    other = dataset(node)
    wrong = f"/v1/datasets/{other['id']}/rules/{made['id']}"
    assert code(node.client.delete(wrong, headers=bob)) == "object_not_found"
    assert node.client.delete(f"{path}/{made['id']}", headers=bob).status_code == 204
    assert verbs(node, births) == ["discover", "describe"]
    assert node.client.get(f"/v1/datasets/{other['id']}/rules", headers=ana).status_code == 404


@pytest.mark.parametrize(
    ("verb", "condition"),
    [
        ("discover", {"times": 1}),
        ("discover", {"min_rows": 5}),
        ("raw", {"min_rows": 5}),
        ("raw", {"min_entities": 5}),
        ("compute", {"min_entities": 0}),
        ("export_model", {"times": 1}),
        ("approve", {"plan": "0" * 64}),
        ("raw", {"times": 0}),
        ("raw", {"plan": "abc"}),
        ("raw", {"until": "2026-01-01T00:00:00"}),
        ("raw", {"until": "9999-12-31T23:59:59-10:00"}),
        ("infer", {}),
        ("fly", {}),
    ],
)
def test_a_condition_that_means_nothing_is_refused(node: NodeUnderTest, verb: str, condition: Said) -> None:
    births = dataset(node)
    body = {"verb": verb, "who": "ana"} | condition
    path = f"/v1/datasets/{births['id']}/rules"
    assert code(node.client.post(path, json=body, headers=node.as_("bob"))) == "invalid_input"
    assert change(node, births, **{verb: [{"who": "ana"} | condition]}).status_code == 422


def test_queries_of_a_model_are_counted(node: NodeUnderTest) -> None:
    access = {"discover": ["ana"], "infer": [{"who": "ana", "times": 2}], "download": []}
    assert serve(node, node.as_("bob"), id="counted", access=access).status_code == 201
    ana, path = node.as_("ana"), "/v1/models/counted"
    wrong = {"inputs": []}
    assert node.client.post(f"{path}/inference", json=wrong, headers=ana).status_code == 422
    answers = [node.client.post(f"{path}/inference", json=QUERY, headers=ana) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 403]
    added = {"verb": "download", "who": "ana", "times": 1}
    made = node.client.post(f"{path}/rules", json=added, headers=node.as_("bob"))
    assert made.status_code == 201
    given = [node.client.get(f"{path}/parameters", headers=ana).status_code for _ in range(2)]
    assert given == [200, 403]
    listed = node.client.get(f"{path}/rules", headers=node.as_("bob")).json()["items"]
    assert {rule["verb"]: rule["used"] for rule in listed} == {"discover": 0, "download": 1, "infer": 2}


def test_counted_rules_do_not_come_back_with_a_restore(node: NodeUnderTest) -> None:
    births = dataset(node, compute=["ana"], raw=[{"who": "ana", "times": 3}])
    with node.node.database.write() as db:
        end_approvals(db)
    assert [rule["verb"] for rule in rules(node, births)] == ["compute"]
