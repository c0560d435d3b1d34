"""From a question to a decision and back: who may ask, read and decide, and what leaves by it."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlmodel import select, update

from gridward.api.services.decisions import end_approvals, forget_answers
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import AccessRequest, RequestUse
from tests.support.asking import act, approve, asked, put, shown
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, ask, code, column, kept, question, values

Said = dict[str, Any]
WEIGHT = np.array([3.5, 3.7, 3.9, 4.1, 4.1])
OPEN = {"discover": ["@signed-in"], "compute": ["@signed-in"]}


@pytest.fixture
def few(ward: NodeUnderTest) -> Said:
    """Five births of bob's, too few for any aggregate by the rules; a dataset of its own for each test."""
    name = f"few-{secrets.token_hex(4)}"
    return publish(ward, ward.as_("bob"), {"weight": WEIGHT}, name=name, access=OPEN)


@pytest.fixture
def ana(ward: NodeUnderTest) -> Headers:
    return ward.as_("ana")


@pytest.fixture
def bob(ward: NodeUnderTest) -> Headers:
    return ward.as_("bob")


def audits(ward: NodeUnderTest, action: str, request: Said) -> list[AuditEntry]:
    with ward.node.database.read() as db:
        wanted = select(AuditEntry).where(AuditEntry.action == action)
        return [row for row in db.exec(wanted).all() if row.request_id == request["id"]]


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


def test_the_same_question_waits_once(ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers) -> None:
    weight = column(few, "weight")
    request = asked(ward, ana, weight.mean())
    again = put(ward, ana, weight.mean(), reason="once more")
    assert (again.status_code, code(again)) == (409, "duplicate_request")
    assert request["id"] in again.json()["detail"]
    assert asked(ward, ward.as_("dana"), weight.mean())["id"] != request["id"]
    assert asked(ward, ana, weight.sum())["id"] != request["id"]
    approve(ward, bob, request)
    assert code(put(ward, ana, weight.mean())) == "duplicate_request"
    act(ward, bob, request, "revoke", text="a mistake")
    assert asked(ward, ana, weight.mean())["status"] == "pending"


def test_a_denial_is_final_and_says_why(ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers) -> None:
    mean = column(few, "weight").mean()
    request = asked(ward, ana, mean)
    assert act(ward, bob, request, "deny", text="ask for a larger ward").json()["status"] == "denied"
    told = shown(ward, ana, request)
    assert (told["note"], told["decided_by"]) == ("ask for a larger ward", "bob")
    assert code(approve(ward, bob, request)) == "conflict"
    assert code(ask(ward, ana, mean)) == "result_suppressed"


@pytest.mark.parametrize("what", ["approve", "deny", "revoke", "preview"])
@pytest.mark.parametrize(
    ("who", "role", "outcome"),
    [
        ("ana", "data_scientist", "not_authorized"),
        ("dana", "data_scientist", "object_not_found"),
        ("gus", "guest", "object_not_found"),
        ("olga", "data_officer", "object_not_found"),
    ],
)
def test_nobody_decides_for_themselves_or_on_what_is_not_theirs_to_open(
    ward: NodeUnderTest, few: Said, ana: Headers, what: str, who: str, role: str, outcome: str
) -> None:
    request = asked(ward, ana, column(few, "weight").mean())
    body = {"approve": {"digest": request["digest"]}, "preview": {}}.get(what, {"text": "so"})
    assert code(act(ward, ward.as_(who, role), request, what, **body)) == outcome
    assert shown(ward, ana, request)["status"] == "pending"


def test_who_triages_reads_and_denies_but_opens_nothing(ward: NodeUnderTest, few: Said, ana: Headers) -> None:
    carl = ward.as_("carl", "compliance_officer")
    request = asked(ward, ana, column(few, "weight").mean())
    assert shown(ward, carl, request)["verdicts"]
    assert code(approve(ward, carl, request)) == "not_authorized"
    assert code(act(ward, carl, request, "preview")) in ("object_not_found", "get_not_permitted")
    assert act(ward, carl, request, "deny", text="out of scope").json()["status"] == "denied"


def test_the_owner_may_let_a_role_answer(ward: NodeUnderTest, ana: Headers, bob: Headers) -> None:
    access = OPEN | {"approve": ["role:compliance_officer"]}
    name = f"let-{secrets.token_hex(4)}"
    opened = publish(ward, bob, {"weight": WEIGHT}, name=name, access=access)
    request = asked(ward, ana, column(opened, "weight").mean())
    carl = ward.as_("carl", "compliance_officer")
    assert approve(ward, carl, request).json()["status"] == "approved"
    assert values(ask(ward, ana, column(opened, "weight").mean()))


def test_a_publisher_decides_on_their_own_data_only(ward: NodeUnderTest, few: Said, ana: Headers) -> None:
    olga = ward.as_("olga", "data_officer")
    mine = publish(ward, olga, {"weight": WEIGHT}, name=f"hers-{secrets.token_hex(4)}", access=OPEN)
    both = asked(ward, ana, column(mine, "weight").mean(), column(few, "weight").mean())
    assert code(approve(ward, olga, both)) == "not_authorized"
    request = asked(ward, ana, column(mine, "weight").mean())
    assert approve(ward, olga, request).json()["status"] == "approved"
    listed = ward.client.get("/v1/requests", headers=olga).json()["items"]
    assert {one["id"] for one in listed} >= {both["id"], request["id"]}
    assert all(mine["id"] in [s["dataset_id"] for s in one["sources"]] for one in listed)


def test_a_second_reviewer_is_another_person(ward: NodeUnderTest, ana: Headers, bob: Headers) -> None:
    name = f"two-{secrets.token_hex(4)}"
    two = publish(ward, bob, {"weight": WEIGHT}, name=name, access=OPEN, reviewers=2)
    mean = column(two, "weight").mean()
    request = asked(ward, ana, mean)
    first = approve(ward, bob, request, times=5).json()
    assert (first["status"], first["agreed"], first["reviewers"]) == ("pending", ["bob"], 2)
    assert code(approve(ward, bob, request)) == "conflict"
    assert code(ask(ward, ana, mean)) == "request_pending"
    second = approve(ward, ward.as_("carl", "compliance_officer"), request, times=1).json()
    assert (second["status"], second["times"]) == ("approved", 1)
    assert values(ask(ward, ana, mean))
    assert code(ask(ward, ana, mean)) == "result_suppressed"


def test_two_who_may_not_open_the_data_do_not_make_one_who_may(
    ward: NodeUnderTest, ana: Headers, bob: Headers
) -> None:
    name = f"two-{secrets.token_hex(4)}"
    two = publish(ward, bob, {"weight": WEIGHT}, name=name, access=OPEN, reviewers=2)
    request = asked(ward, ana, column(two, "weight").mean())
    for who, role in (("carl", "compliance_officer"), ("adam", "admin")):
        assert approve(ward, ward.as_(who, role), request).json()["status"] == "pending"
    assert approve(ward, bob, request).json()["status"] == "approved"


def test_the_vote_of_a_locked_account_does_not_count(ward: NodeUnderTest, ana: Headers, bob: Headers) -> None:
    access = OPEN | {"approve": ["oscar"]}
    name = f"two-{secrets.token_hex(4)}"
    two = publish(ward, bob, {"weight": WEIGHT}, name=name, access=access, reviewers=2)
    request = asked(ward, ana, column(two, "weight").mean())
    approve(ward, ward.as_("oscar", "data_officer"), request)
    assert ward.client.patch("/v1/users/oscar", json={"disabled": True}, headers=bob).status_code == 200
    carl = ward.as_("carl", "compliance_officer")
    assert approve(ward, carl, request).json()["status"] == "pending"


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


def test_a_request_that_nobody_decided_expires(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(ward, ana, column(few, "weight").mean(), expires_in_s=10)
    now = ward.node.clock()
    monkeypatch.setattr(ward.node, "clock", lambda: now + timedelta(seconds=11))
    assert shown(ward, ana, request)["status"] == "expired"
    assert code(approve(ward, bob, request)) == "conflict"
    assert asked(ward, ana, column(few, "weight").mean())["id"] != request["id"]


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


def test_the_preview_is_the_answer_with_every_figure_and_is_written_down(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    weight = column(few, "weight")
    request = asked(ward, ana, weight.where(weight > 4, 0).sum())
    seen = act(ward, bob, request, "preview").json()
    assert values(act(ward, bob, request, "preview"))[0].item() == pytest.approx(8.2)
    checks = {one["check"]: one for one in seen["verdicts"]}
    assert checks["rows"]["figures"] == "5 rows, 10 wanted"
    assert (checks["groups"]["figures"], checks["groups"]["passed"]) == ("2 of 5 rows", False)
    assert [row.actor for row in audits(ward, "preview", request)] == ["bob", "bob"]
    assert shown(ward, ana, request)["used"] == 0


def test_the_asker_sees_neither_verdicts_nor_overlap(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    request = asked(ward, ana, column(few, "weight").mean())
    mine, theirs = shown(ward, ana, request), shown(ward, bob, request)
    assert (mine["verdicts"], mine["overlap"]) == (None, None)
    assert {one["check"] for one in theirs["verdicts"]} == {
        "access",
        "aggregate",
        "rows",
        "entities",
    }
    assert mine["operations"][0] == f"x0: float64[5] = 'weight' of dataset '{few['name']}'"


def test_officers_see_what_the_asker_had_of_the_same_data(
    ward: NodeUnderTest, ana: Headers, bob: Headers
) -> None:
    name = f"many-{secrets.token_hex(4)}"
    many = publish(ward, bob, {"x": np.arange(20.0), "y": np.arange(20.0)}, name=name, access=OPEN)
    assert values(ask(ward, ana, column(many, "x").mean()))
    assert values(ask(ward, ward.as_("dana"), column(many, "y").mean()))
    request = asked(ward, ana, column(many, "x"))
    overlap = shown(ward, bob, request)["overlap"]
    assert overlap["total"] == 1
    assert overlap["newest"][0]["tensors"] == ["x"]
    assert not overlap["newest"][0]["same_plan"]


def test_only_what_the_rules_do_not_give_is_asked_for(ward: NodeUnderTest, few: Said, ana: Headers) -> None:
    assert code(put(ward, ward.as_("bob"), column(few, "weight").mean())) == "conflict"
    silent = publish(ward, ward.as_("bob"), {"x": WEIGHT}, name=f"no-{few['id']}", access=OPEN, reviewers=0)
    refused = put(ward, ana, column(silent, "x").mean())
    assert code(refused) == "get_not_permitted"
    assert "takes no requests" in refused.json()["detail"]
    assert code(put(ward, ward.as_("gus", "guest"), column(few, "weight").mean())) == "get_not_permitted"
    assert code(put(ward, ana, column(few, "weight").mean(), reason="")) == "invalid_input"


def test_a_hidden_dataset_and_a_missing_request_give_nothing_away(
    ward: NodeUnderTest, few: Said, ana: Headers
) -> None:
    hidden = publish(ward, ward.as_("bob"), {"x": WEIGHT}, name=f"hidden-{few['id']}")
    missing = hidden | {"id": "ds-" + "0" * 24}
    answers = [put(ward, ana, column(each, "x").mean()) for each in (hidden, missing)]
    assert {code(answer) for answer in answers} == {"object_not_found"}
    request = asked(ward, ana, column(few, "weight").mean())
    dana = ward.as_("dana")
    told = [
        ward.client.get(f"/v1/requests/{id_}", headers=dana).json()["detail"].replace(id_, "")
        for id_ in (request["id"], "req-" + "0" * 24)
    ]
    assert told[0] == told[1]


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


def test_news_reaches_the_other_side_until_it_is_seen(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    def news(by: Headers, request: Said) -> list[tuple[str, str]]:
        items = ward.client.get("/v1/notifications", params={"limit": 500}, headers=by).json()["items"]
        return [(one["kind"], one["actor"]) for one in items if one["request_id"] == request["id"]]

    request = asked(ward, ana, column(few, "weight").mean())
    assert (news(bob, request), news(ana, request)) == ([("asked", "ana")], [])
    act(ward, bob, request, "comments", text="which report?")
    act(ward, ana, request, "comments", text="the monthly one")
    approve(ward, bob, request)
    assert news(ana, request) == [("commented", "bob"), ("approved", "bob")]
    assert news(bob, request) == [("asked", "ana"), ("commented", "ana")]
    assert news(ward.as_("dana"), request) == []
    last = ward.client.get("/v1/notifications", params={"limit": 500}, headers=ana).json()["items"][-1]
    for up_to in (last["id"], 0):
        seen = ward.client.post("/v1/notifications/seen", json={"up_to": up_to}, headers=ana)
        assert seen.status_code == 204
        assert news(ana, request) == []
    act(ward, bob, request, "revoke", text="no")
    assert news(ana, request) == [("revoked", "bob")]


def test_lists_filter_by_where_requests_stand(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = column(few, "weight")
    made = {
        status: asked(ward, ana, weight * factor, expires_in_s=99)
        for factor, status in enumerate(("pending", "approved", "denied", "revoked", "used_up"))
    }
    later = ward.node.clock() + timedelta(seconds=50)
    made |= {"expired": asked(ward, ana, weight, expires_in_s=1), "over": asked(ward, ana, weight + 1)}
    for status in ("approved", "revoked", "used_up"):
        approve(ward, bob, made[status])
    approve(ward, bob, made["over"], until=(later - timedelta(seconds=40)).isoformat())
    act(ward, bob, made["denied"], "deny", text="no")
    act(ward, bob, made["revoked"], "revoke", text="no")
    assert values(ask(ward, ana, weight * 4))
    monkeypatch.setattr(ward.node, "clock", lambda: later)
    for status in ("pending", "approved", "denied", "expired", "revoked", "used_up"):
        params = {"status": status, "limit": 500}
        listed = ward.client.get("/v1/requests", params=params, headers=bob).json()
        names = {status} | ({"over"} if status == "expired" else set())
        wanted = {made[name]["id"] for name in names}
        found = {one["id"] for one in listed["items"]}
        assert found & {one["id"] for one in made.values()} == wanted
        assert {one["status"] for one in listed["items"]} == {status}


def test_a_user_may_have_so_many_undecided_requests(
    ward: NodeUnderTest, few: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ward.node.settings, "requests_open", 2)
    rita = ward.as_("rita")
    weight = column(few, "weight")
    asked(ward, rita, weight.mean(), expires_in_s=0.001)
    asked(ward, rita, weight.sum())
    assert code(put(ward, rita, weight.max())) == "conflict"
    monkeypatch.setattr(ward.node.settings, "request_max_bytes", 100)
    assert code(put(ward, rita, weight.min())) == "too_large"


def test_an_asker_takes_a_waiting_request_back_and_those_who_decide_are_told(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean = column(few, "weight").mean()
    request = asked(ward, ana, mean)
    before = ward.client.get("/v1/notifications", headers=bob).json()["items"][-1]["id"]
    ward.client.post("/v1/notifications/seen", json={"up_to": before}, headers=bob)
    assert code(act(ward, bob, request, "withdraw", text="no")) == "not_authorized"
    gone = act(ward, ana, request, "withdraw", text="asked better elsewhere").json()
    assert (gone["status"], gone["note"], gone["decided_by"]) == (
        "withdrawn",
        "asked better elsewhere",
        "ana",
    )
    told = ward.client.get("/v1/notifications", headers=bob).json()["items"]
    assert [(one["kind"], one["actor"], one["request_id"]) for one in told] == [
        ("withdrawn", "ana", request["id"])
    ]
    assert code(approve(ward, bob, request)) == "conflict"
    assert code(act(ward, ana, request, "withdraw", text="again")) == "conflict"
    assert audits(ward, "withdraw_request", request)[0].reason == "asked better elsewhere"
    assert code(ask(ward, ana, mean)) == "result_suppressed"
    assert asked(ward, ana, mean)["id"] != request["id"]


def test_asking_and_taking_back_does_not_free_the_place_of_a_request(
    ward: NodeUnderTest, few: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager, name = ward.as_("eager"), few["id"]
    monkeypatch.setattr(ward.node.settings, "requests_open", 1)
    request = asked(ward, eager, column(few, "weight").mean())
    assert act(ward, eager, request, "withdraw", text="no").status_code == 200
    assert code(put(ward, eager, column(few, "weight").sum())) == "conflict", name


def test_the_log_says_which_request_and_which_result_and_the_asker_is_told_the_same(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers
) -> None:
    mean = column(few, "weight").mean()
    request = asked(ward, ana, mean)
    approve(ward, bob, request)
    given = ask(ward, ana, mean).json()
    (row,) = audits(ward, "release", request)[-1:]
    assert row.result_digest == given["result_digest"]
    assert row.subject == f"{few['id']}@1"
    found = ward.client.get("/v1/audit", params={"result_digest": row.result_digest}, headers=bob).json()
    assert (request["id"], "ana") in [(one["request_id"], one["actor"]) for one in found["items"]]
    acts = ward.client.get("/v1/audit", params={"request_id": request["id"]}, headers=bob).json()["items"]
    assert {one["action"] for one in acts} == {"ask", "request_approved", "release"}
    refused = [one for one in acts if one["decision"] != "value"]
    assert {one["result_digest"] for one in refused} == {None}
