"""What an approval opens: that question, so often, until then, and nothing else."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlmodel import select, update

from gridward.api.services.decisions import end_approvals, forget_answers
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import AccessRequest, RequestUse
from tests.support.asking import OPEN, WEIGHT, Said, act, approve, asked, audits, put, shown
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, ask, code, column, kept, question, values


def test_an_approval_gives_the_right_number_once(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean = column(few, "weight").mean()
    assert code(ask(ward, ana, mean)) == "result_suppressed"
    request = asked(ward, ana, mean)
    assert (request["status"], request["kind"]) == ("pending", "value")
    waiting = ask(ward, ana, mean)
    assert code(waiting) == "request_pending"
    assert waiting.headers["retry-after"]
    assert approve(ward, bob, request, note="fine").json()["status"] == "approved"
    assert values(ask(ward, ana, mean))[0].item() == pytest.approx(WEIGHT.mean())
    assert code(ask(ward, ana, mean)) == "result_suppressed"
    told = shown(ward, ana, request)
    assert (told["status"], told["used"], told["note"]) == ("used_up", 1, "fine")
    rows = audits(ward, "release", request)
    assert [(row.decision, row.reason) for row in rows] == [("pending", "waiting"), ("value", "approved")]
    assert {row.plan_digest for row in rows} == {request["plan_digest"]}


def test_a_refusal_says_what_became_of_the_request_and_what_to_do(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean, total = column(few, "weight").mean(), column(few, "weight").sum()

    def detail(asked_: Any, **more: Any) -> str:
        body = question(asked_) | more
        return str(ward.client.post("/v1/computations", json=body, headers=ana).json().get("detail", ""))

    request = asked(ward, ana, mean)
    approve(ward, bob, request)
    assert f"{request['id']}, which was approved, is for another question" in detail(total)
    attempt = secrets.token_hex(16)
    assert detail(mean, attempt=attempt) == ""
    assert "had the answer to another question" in detail(total, attempt=attempt)
    assert detail(mean, attempt=attempt) == ""
    assert f"{request['id']} of this question was approved once, and that answer was given" in detail(mean)
    assert request["id"] not in detail(total)
    denied = asked(ward, ana, total)
    act(ward, bob, denied, "deny", text="too few")
    assert f"{denied['id']} of this question was denied" in detail(total)
    again = asked(ward, ana, mean)
    approve(ward, bob, again)
    with ward.node.database.write() as db:
        new = {"version": 2}
        db.exec(update(Dataset).where(Dataset.id == few["id"]).values(**new))  # type: ignore[arg-type]
    assert f"{again['id']} was approved for another version of the data" in detail(mean)
    cleo = ward.as_("cleo", "data_officer")
    answer = ward.client.post("/v1/computations", json=question(mean), headers=cleo)
    assert again["id"] not in answer.text


def test_a_restore_leaves_no_approval_behind(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean, total = column(few, "weight").mean(), column(few, "weight").sum()
    once, standing = asked(ward, ana, mean), asked(ward, ana, total)
    approve(ward, bob, once)
    approve(ward, bob, standing, standing=True)
    with ward.node.database.write() as db:
        end_approvals(db)
    assert code(ask(ward, ana, mean)) == "result_suppressed"
    assert code(ask(ward, ana, total)) == "result_suppressed"
    for request in (once, standing):
        told = shown(ward, ana, request)
        assert (told["status"], told["note"]) == (
            "revoked",
            "the node was restored from a back-up; ask again",
        )


def test_raw_values_are_asked_for_as_such(ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers) -> None:
    request = asked(ward, ana, column(few, "weight"))
    assert request["kind"] == "raw"
    approve(ward, bob, request, times=2)
    for _ in range(2):
        assert values(ask(ward, ana, column(few, "weight")))[0].tolist() == WEIGHT.tolist()
    assert code(ask(ward, ana, column(few, "weight"))) == "get_not_permitted"


def test_what_is_approved_opens_nothing_else(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    weight = column(few, "weight")
    approve(ward, bob, asked(ward, ana, weight.mean()), times=100)
    assert code(ask(ward, ana, weight.sum())) == "result_suppressed"
    assert code(ask(ward, ana, weight.mean(), weight.sum())) == "result_suppressed"
    assert code(ask(ward, ward.as_("dana"), weight.mean())) == "result_suppressed"
    other = publish(ward, bob, {"weight": WEIGHT}, name=f"other-{few['id']}", access=OPEN)
    assert code(ask(ward, ana, column(other, "weight").mean())) == "result_suppressed"
    with ward.node.database.write() as db:
        db.exec(update(Dataset).where(Dataset.id == few["id"]).values(version=2))  # type: ignore[arg-type]
    assert code(ask(ward, ana, weight.mean())) == "result_suppressed"


def test_a_kept_result_is_no_way_around_the_approval_and_cannot_be_asked_for(
    ward: NodeUnderTest, few: Said, ana: Headers
) -> None:
    made = ask(ward, ana, column(few, "weight")[:1], release=False).json()["objects"][0]
    refused = put(ward, ana, kept(made))
    assert code(refused) == "invalid_input"
    assert "whole expression" in refused.json()["detail"]


def test_four_at_once_get_one_value_of_an_approval_for_one_time(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean = column(few, "weight").mean()
    request = asked(ward, ana, mean)
    approve(ward, bob, request)
    ask(ward, bob, mean)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: ask(ward, ana, mean), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403]
    with ward.node.database.read() as db:
        uses = db.exec(select(RequestUse).where(RequestUse.request_id == request["id"])).all()
    assert [use.number for use in uses] == [1]
    assert [row.decision for row in audits(ward, "release", request)] == ["value"]


def test_an_attempt_that_was_cut_off_is_repeated_and_counts_once(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean = column(few, "weight").mean()
    request = asked(ward, ana, mean)
    approve(ward, bob, request)
    attempt = secrets.token_hex(16)

    def get(by: Headers, attempt: str) -> Any:
        body = question(mean) | {"attempt": attempt}
        return ward.client.post("/v1/computations", json=body, headers=by)

    first = values(get(ana, attempt))[0]
    assert values(get(ana, attempt))[0].item() == first.item()
    assert code(get(ward.as_("dana"), attempt)) == "result_suppressed"
    assert code(get(ana, secrets.token_hex(16))) == "result_suppressed"
    assert len(audits(ward, "release", request)) == 1
    assert shown(ward, ana, request)["used"] == 1
    act(ward, bob, request, "revoke", text="no more")
    assert code(get(ana, attempt)) == "result_suppressed"


def test_a_kept_answer_is_forgotten_after_its_time(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"many-{secrets.token_hex(4)}"
    many = publish(ward, bob, {"x": np.arange(20.0)}, name=name, access=OPEN)
    total = column(many, "x").where(column(many, "x") > 17, 0).sum()  # only its run tells that it is refused
    approve(ward, bob, asked(ward, ana, total))
    body = question(total) | {"attempt": secrets.token_hex(16)}
    assert ward.client.post("/v1/computations", json=body, headers=ana).status_code == 200
    kept_files = set((ward.node.settings.data_dir / "blobs").rglob("*"))
    later = ward.node.clock() + timedelta(seconds=ward.node.settings.request_answer_s + 1)
    monkeypatch.setattr(ward.node, "clock", lambda: later)
    forget_answers(ward.node)
    assert set((ward.node.settings.data_dir / "blobs").rglob("*")) < kept_files
    assert code(ward.client.post("/v1/computations", json=body, headers=ana)) == "result_suppressed"


def test_an_approval_ends_at_its_moment(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean = column(few, "weight").mean()
    request = asked(ward, ana, mean)
    now = ward.node.clock()
    until = (now + timedelta(seconds=60)).isoformat()
    past = (now - timedelta(seconds=1)).isoformat()
    for wrong in (past, "9999-12-31T23:59:59-12:00", "2030-01-01T00:00:00"):
        assert code(approve(ward, bob, request, until=wrong)) == "invalid_input"
    approve(ward, bob, request, until=until)
    for _ in range(3):
        assert values(ask(ward, ana, mean))
    monkeypatch.setattr(ward.node, "clock", lambda: now + timedelta(seconds=61))
    assert code(ask(ward, ana, mean)) == "result_suppressed"
    assert shown(ward, ana, request)["status"] == "expired"


def test_a_standing_rule_outlives_versions_shows_in_the_rules_and_ends_by_revocation(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean = column(few, "weight").mean()
    request = asked(ward, ana, mean)
    assert code(approve(ward, bob, request, standing=True, times=3)) == "invalid_input"
    assert approve(ward, bob, request, standing=True).json()["standing"]
    for version in (1, 2):
        with ward.node.database.write() as db:
            db.exec(update(Dataset).where(Dataset.id == few["id"]).values(version=version))  # type: ignore[arg-type]
        assert values(ask(ward, ana, mean))
    assert code(put(ward, ana, mean)) == "conflict"
    assert code(ask(ward, ward.as_("dana"), mean)) == "result_suppressed"
    path = f"/v1/datasets/{few['id']}"
    rules = ward.client.get(path, headers=bob).json()["standing_rules"]
    assert [(rule["user"], rule["request_id"]) for rule in rules] == [("ana", request["id"])]
    assert ward.client.get(path, headers=ana).json()["standing_rules"] is None
    act(ward, bob, request, "revoke", text="the study is over")
    assert code(ask(ward, ana, mean)) == "result_suppressed"
    assert ward.client.get(path, headers=bob).json()["standing_rules"] == []


def test_approving_names_what_was_read_and_data_that_changed_cannot_be_approved(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    request = asked(ward, ana, column(few, "weight").mean())
    assert code(approve(ward, bob, request | {"digest": "0" * 64})) == "conflict"
    with ward.node.database.write() as db:
        db.exec(update(Dataset).where(Dataset.id == few["id"]).values(version=2))  # type: ignore[arg-type]
    assert "ask anew" in approve(ward, bob, request).json()["detail"]


def test_a_question_that_was_changed_in_the_database_cannot_be_read_or_approved(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    request = asked(ward, ana, column(few, "weight").mean())
    other = asked(ward, ana, column(few, "weight").sum())
    with ward.node.database.write() as db:
        row, forged = db.get_one(AccessRequest, request["id"]), db.get_one(AccessRequest, other["id"])
        row.body = forged.body
        db.add(row)
    assert code(approve(ward, bob, request)) == "conflict"
    assert code(act(ward, bob, request, "preview")) == "conflict"


def test_an_approval_of_a_dataset_that_was_hidden_since_gives_nothing(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean = column(few, "weight").mean()
    approve(ward, bob, asked(ward, ana, mean))
    path = f"/v1/datasets/{few['id']}"
    assert ward.client.patch(path, json={"access": {}}, headers=bob).status_code == 200
    assert code(ask(ward, ana, mean)) == "object_not_found"
    ward.client.patch(path, json={"access": {"discover": ["ana"]}}, headers=bob)
    assert values(ask(ward, ana, mean))
