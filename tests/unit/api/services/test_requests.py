"""From a question to a decision: who may ask, read and decide, and who is told."""

import secrets
from datetime import timedelta

import numpy as np
import pytest

from tests.support.asking import OPEN, WEIGHT, Said, act, approve, asked, audits, put, shown
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, ask, code, column, values


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


def test_a_request_that_nobody_decided_expires(
    ward: NodeUnderTest, few: Said, ana: Headers, bob: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(ward, ana, column(few, "weight").mean(), expires_in_s=10)
    now = ward.node.clock()
    monkeypatch.setattr(ward.node, "clock", lambda: now + timedelta(seconds=11))
    assert shown(ward, ana, request)["status"] == "expired"
    assert code(approve(ward, bob, request)) == "conflict"
    assert asked(ward, ana, column(few, "weight").mean())["id"] != request["id"]


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
