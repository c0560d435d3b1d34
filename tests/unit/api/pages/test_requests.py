"""Pages of requests: who sees and may do what, that a yes is to what was shown, and that words stay words."""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from markupsafe import escape
from sqlmodel import col, update

from gridward.api.pages.requests import EVENTS, LINES
from gridward.api.tables.requests import AccessRequest
from gridward.core.privacy.approvals import Status
from gridward.core.schemas.requests import RequestCounts
from tests.support.asking import act, approve, asked, shown
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import ask, column, values
from tests.support.visitors import BROWSER, Visitor, forms_on, text_of
from tests.unit.api.services.test_exports import asked_for, content, trained

Said = dict[str, Any]
WEIGHT = np.array([3.5, 3.7, 3.9, 4.1, 4.1])
OPEN = {"discover": ["@signed-in"], "compute": ["@signed-in"]}
CANARY = "<script>alert(1)</script>{{7*7}}{% x %}"


def made(ward: NodeUnderTest, name: str = "weight", publisher: str = "bob", **more: Any) -> Said:
    dataset = f"few-{secrets.token_hex(4)}"
    return publish(ward, ward.as_(publisher), {name: WEIGHT}, name=dataset, **({"access": OPEN} | more))


@pytest.fixture(scope="module")
def visitors(ward: NodeUnderTest) -> dict[str, Visitor]:
    """Somebody of each role: bob owns; olga publishes; carl is a compliance officer; ana and dana ask."""
    for name, role in (("olga", "data_officer"), ("carl", "compliance_officer"), ("gus", "guest")):
        ward.as_(name, role)
    for name in ("ana", "dana"):
        ward.as_(name)
    return {name: Visitor(ward.client, name) for name in ("bob", "olga", "carl", "ana", "dana", "gus")}


@pytest.fixture
def request_of_ana(ward: NodeUnderTest, visitors: dict[str, Visitor]) -> Said:
    return asked(ward, ward.as_("ana"), column(made(ward), "weight").mean())


def path_of(request: Said) -> str:
    return f"/requests/{request['id']}"


def test_a_model_is_shown_as_one_and_approved_within_bounds(
    ward: NodeUnderTest, visitors: dict[str, Visitor]
) -> None:
    _, name = trained(ward)
    request, bob = asked_for(ward, name), visitors["bob"]
    page = bob.shows(path_of(request))
    assert name in page
    assert "67 parameters, 60 entities" in text_of(page)
    assert {"approve", "deny"} <= acts_on(page)
    assert "preview" not in acts_on(page)
    assert 'value="standing"' not in page
    assert "a model" in text_of(bob.shows("/requests"))
    said = {"digest": request["digest"], "bounds": "bounded", "times": "1", "last_day": ""}
    bob.sends(f"{path_of(request)}/approve", **said)
    assert content(ward, name).status_code == 200


def acts_on(page: str) -> set[str]:
    return {path.rsplit("/", 1)[-1] for path in forms_on(page)}


def test_the_owner_approves_in_two_steps_and_the_asker_gets_the_value_once(
    ward: NodeUnderTest, visitors: dict[str, Visitor]
) -> None:
    mean = column(made(ward), "weight").mean()
    request = asked(ward, ward.as_("ana"), mean)
    bob = visitors["bob"]
    assert path_of(request) in bob.shows("/requests")
    page = bob.shows(path_of(request))
    digest = re.search(r'name="digest" value="([0-9a-f]{64})"', page)
    assert digest
    after = bob.sends(f"{path_of(request)}/approve", digest=digest[1], bounds="once", times="", last_day="")
    assert after.url.path == path_of(request)
    assert "Saved." in after.text
    assert values(ask(ward, ward.as_("ana"), mean))[0].item() == pytest.approx(WEIGHT.mean())
    assert "used up" in text_of(visitors["ana"].shows(path_of(request)))


def test_the_page_shows_what_a_decision_needs(ward: NodeUnderTest, visitors: dict[str, Visitor]) -> None:
    dataset = made(ward)
    first = asked(ward, ward.as_("ana"), column(dataset, "weight").sum())
    approve(ward, ward.as_("bob"), first)
    ask(ward, ward.as_("ana"), column(dataset, "weight").sum())
    request = asked(ward, ward.as_("ana"), column(dataset, "weight").mean(), reason="for the ward's report")
    said = text_of(visitors["bob"].shows(path_of(request)))
    for words in (
        "for the ward's report",
        dataset["name"],
        "version 1",
        "5 rows, 10 wanted",
        request["digest"],
    ):
        assert words in said
    for line in request["operations"]:
        assert line in said
    assert "What ana had of this data before 1 answer" in said


@pytest.mark.parametrize(
    ("who", "may"),
    [
        ("bob", {"approve", "deny", "preview", "comments"}),
        ("carl", {"deny", "comments"}),
        ("ana", {"comments", "withdraw"}),
    ],
)
def test_each_role_is_offered_what_it_may_do(
    request_of_ana: Said, visitors: dict[str, Visitor], who: str, may: set[str]
) -> None:
    page = visitors[who].shows(path_of(request_of_ana))
    assert acts_on(page) == may
    assert ("wanted" in text_of(page)) is (who != "ana")


@pytest.mark.parametrize("who", ["olga", "dana", "gus"])
def test_a_request_that_is_hidden_is_missing(
    request_of_ana: Said, visitors: dict[str, Visitor], who: str
) -> None:
    answer = visitors[who].get(path_of(request_of_ana))
    missing = visitors[who].get("/requests/req-none")
    assert (answer.status_code, missing.status_code) == (404, 404)
    assert request_of_ana["id"] not in visitors[who].shows("/requests?status=all")


def test_what_is_not_offered_is_refused(
    ward: NodeUnderTest, request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    path, digest = path_of(request_of_ana), request_of_ana["digest"]
    for who, refused in (("carl", 403), ("ana", 403), ("dana", 404), ("olga", 404)):
        assert visitors[who].send(f"{path}/approve", digest=digest, bounds="once").status_code == refused
        assert visitors[who].send(f"{path}/preview").status_code == refused
    assert visitors["ana"].send(f"{path}/deny", text="no").status_code == 403
    assert visitors["dana"].send(f"{path}/comments", text="hm").status_code == 404
    assert shown(ward, ward.as_("bob"), request_of_ana)["status"] == "pending"


def test_forged_forms_do_nothing(
    ward: NodeUnderTest, request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    bob, path = visitors["bob"], path_of(request_of_ana)
    form = {"digest": request_of_ana["digest"], "bounds": "once", "text": "x"}
    for act_ in ("approve", "deny", "revoke", "preview", "comments"):
        for token in ("", "x", visitors["ana"].token()):
            assert bob.send(f"{path}/{act_}", token=token, **form).status_code == 403
        foreign = BROWSER | {"Sec-Fetch-Site": "cross-site"}
        sent = form | {"form_token": bob.token()}
        assert bob.client.post(f"{path}/{act_}", data=sent, headers=foreign).status_code == 403
    after = shown(ward, ward.as_("bob"), request_of_ana)
    assert (after["status"], len(after["events"])) == ("pending", 1)


def test_a_yes_is_to_what_was_shown(
    ward: NodeUnderTest, request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    bob = visitors["bob"]
    other = bob.send(f"{path_of(request_of_ana)}/approve", digest="0" * 64, bounds="once")
    assert other.status_code == 409
    assert "read it again" in other.text


@pytest.mark.parametrize(
    ("form", "terms"),
    [
        ({"bounds": "once", "times": "7"}, (1, None, False)),
        ({"bounds": "bounded", "times": "3", "last_day": ""}, (3, None, False)),
        ({"bounds": "bounded", "times": "", "last_day": "+2"}, (None, "+3", False)),
        ({"bounds": "bounded", "times": "2", "last_day": "+2"}, (2, "+3", False)),
        ({"bounds": "standing", "times": "7", "last_day": "+2"}, (None, None, True)),
    ],
)
def test_the_form_says_how_far_a_yes_goes(
    ward: NodeUnderTest,
    request_of_ana: Said,
    visitors: dict[str, Visitor],
    form: dict[str, str],
    terms: tuple[int | None, str | None, bool],
) -> None:
    def day(words: str) -> str:
        return (datetime.now(UTC).date() + timedelta(days=int(words))).isoformat()

    sent = {name: day(words) if words.startswith("+") else words for name, words in form.items()}
    visitors["bob"].sends(f"{path_of(request_of_ana)}/approve", digest=request_of_ana["digest"], **sent)
    after = shown(ward, ward.as_("bob"), request_of_ana)
    assert after["status"] == "approved"
    times, until, standing = terms
    assert (after["times"], after["standing"]) == (times, standing)
    assert (after["until"] or "")[:10] == (day(until) if until else "")


@pytest.mark.parametrize(
    "form",
    [
        {"bounds": "bounded"},
        {"bounds": "bounded", "times": "0"},
        {"bounds": "bounded", "times": "many"},
        {"bounds": "bounded", "last_day": "2020-01-01"},
        {"bounds": "bounded", "last_day": "9999-12-31"},
        {"bounds": "bounded", "last_day": "soon"},
        {"bounds": "often"},
    ],
)
def test_terms_that_say_nothing_are_refused(
    ward: NodeUnderTest, request_of_ana: Said, visitors: dict[str, Visitor], form: dict[str, str]
) -> None:
    answer = visitors["bob"].send(
        f"{path_of(request_of_ana)}/approve", digest=request_of_ana["digest"], **form
    )
    assert answer.status_code == 422
    assert shown(ward, ward.as_("bob"), request_of_ana)["status"] == "pending"


def test_a_second_person_has_to_agree(ward: NodeUnderTest, visitors: dict[str, Visitor]) -> None:
    request = asked(ward, ward.as_("ana"), column(made(ward, reviewers=2), "weight").mean())
    path, bob, carl = path_of(request), visitors["bob"], visitors["carl"]
    assert "approve" in acts_on(carl.shows(path))
    once = bob.sends(f"{path}/approve", digest=request["digest"], bounds="once")
    assert "1 of 2 people agreed: bob" in text_of(once.text)
    assert "You agreed; another person has to." in text_of(once.text)
    assert "approve" not in acts_on(once.text)
    assert "approved" in text_of(carl.sends(f"{path}/approve", digest=request["digest"], bounds="once").text)
    assert "revoke" in acts_on(bob.shows(path))


def test_a_denial_and_a_revocation_come_with_their_reasons(
    ward: NodeUnderTest, request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    bob, path = visitors["bob"], path_of(request_of_ana)
    assert bob.send(f"{path}/deny", text="").status_code == 422
    bob.sends(f"{path}/deny", text="five rows are five people")
    assert "five rows are five people" in text_of(visitors["ana"].shows(path))
    again = asked(ward, ward.as_("ana"), column(made(ward), "weight").max())
    approve(ward, ward.as_("bob"), again)
    bob.sends(f"{path_of(again)}/revoke", text="a mistake")
    said = text_of(visitors["ana"].shows(path_of(again)))
    assert "revoked" in said
    assert "a mistake" in said


def test_who_asked_takes_a_request_back(
    ward: NodeUnderTest, request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    ana, path = visitors["ana"], path_of(request_of_ana)
    assert visitors["bob"].send(f"{path}/withdraw", text="no").status_code == 403
    assert ana.send(f"{path}/withdraw", text="").status_code == 422
    page = ana.sends(f"{path}/withdraw", text="not needed any more").text
    assert acts_on(page) == {"comments"}
    said = text_of(visitors["bob"].shows(path))
    assert "withdrawn" in said
    assert "not needed any more" in said
    assert acts_on(visitors["bob"].shows(path)) == {"comments", "preview"}
    linked = visitors["bob"].shows(f"/audit?request_id={request_of_ana['id']}")
    assert "withdraw request" in text_of(linked)
    assert f'href="{path}"' in linked


def test_a_preview_is_a_part_of_the_page_or_a_page(
    request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    bob, path = visitors["bob"], path_of(request_of_ana)
    page = bob.sends(f"{path}/preview").text
    form, part = {"form_token": bob.token()}, BROWSER | {"HX-Request": "true"}
    fragment = bob.client.post(f"{path}/preview", data=form, headers=part).text
    for said in (page, fragment):
        assert f"{WEIGHT.mean():.9g}"[:4] in said
        assert "5 rows, 10 wanted" in said
    assert page.startswith("<!doctype html>")
    assert "<html" not in fragment


def test_data_that_changed_is_not_approved_from_the_page(
    ward: NodeUnderTest, request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    dataset_id = request_of_ana["sources"][0]["dataset_id"]
    gone = ward.client.delete(f"/v1/datasets/{dataset_id}", headers=ward.as_("bob"))
    assert gone.status_code == 204
    page = visitors["bob"].shows(path_of(request_of_ana))
    assert acts_on(page) == {"deny", "comments"}


def test_words_of_others_are_shown_as_words(ward: NodeUnderTest, visitors: dict[str, Visitor]) -> None:
    dataset = made(ward, name=CANARY)
    request = asked(ward, ward.as_("ana"), column(dataset, CANARY).mean(), reason=f"why {CANARY}")
    act(ward, ward.as_("ana"), request, "comments", text=f"said {CANARY}")
    bob, path = visitors["bob"], path_of(request)
    assert "<script>alert" not in bob.sends(f"{path}/preview").text
    pages = [bob.shows("/requests"), bob.shows(path)]
    bob.sends(f"{path}/deny", text=f"no {CANARY}")
    pages.append(visitors["ana"].shows(path))
    for page in pages:
        assert "<script>alert" not in page
        assert str(escape(CANARY)) in page


def test_a_refusal_says_what_was_wrong_and_quotes_no_markup(
    request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    part = BROWSER | {"HX-Request": "true"}
    bob = visitors["bob"]
    form = {"form_token": bob.token(), "digest": CANARY}
    answer = bob.client.post(f"{path_of(request_of_ana)}/approve", data=form, headers=part)
    assert answer.status_code == 422
    assert answer.headers["hx-retarget"] == "#refusal"
    assert "<script>" not in answer.text


def test_the_queue_counts_filters_and_pages(ward: NodeUnderTest, visitors: dict[str, Visitor]) -> None:
    dataset = made(ward)
    weight = column(dataset, "weight")
    ids = [asked(ward, ward.as_("dana"), (weight * at).sum())["id"] for at in range(2, 30)]
    dana = visitors["dana"]
    first, second = dana.shows("/requests"), dana.shows("/requests?status=pending&page=2")
    assert "Pending 28" in text_of(first)
    assert [id_ in first for id_ in reversed(ids)] == [True] * 25 + [False] * 3
    assert [id_ in second for id_ in reversed(ids)] == [False] * 25 + [True] * 3
    assert 'href="/requests?page=2&amp;status=all"' in first
    assert "There are no such requests" in dana.shows("/requests?status=denied")
    assert dana.get("/requests?status=odd").status_code == 422
    assert dana.get("/requests?page=0").status_code == 422
    counts = ward.client.get("/v1/requests/counts", headers=ward.as_("dana")).json()
    assert (counts["pending"], sum(counts.values())) == (28, 28)


def test_the_queue_counts_every_status() -> None:
    assert set(RequestCounts.model_fields) == set(Status)


def test_long_plans_and_histories_are_paged_whole(
    ward: NodeUnderTest, request_of_ana: Said, visitors: dict[str, Visitor]
) -> None:
    lines = [f"v{at} = line({at})" for at in range(2 * LINES + 1)]
    with ward.node.database.write() as db:
        wanted = col(AccessRequest.id) == request_of_ana["id"]
        db.exec(update(AccessRequest).where(wanted).values(operations=lines))
    for at in range(EVENTS):
        act(ward, ward.as_("ana"), request_of_ana, "comments", text=f"comment {at} of many")
    bob, path = visitors["bob"], path_of(request_of_ana)
    page = bob.shows(path)
    assert f"{LINES + 1} more lines" in page
    shown_lines = [page] + [bob.shows(f"{path}/plan?page={number}") for number in (2, 3)]
    assert [line for part in shown_lines for line in lines if f"<li>{line}</li>" in part] == lines
    assert f"All {EVENTS + 1} entries" in page
    assert "comment 0 of many" in bob.shows(f"{path}/history")
    assert f"comment {EVENTS - 1} of many" in bob.shows(f"{path}/history?page=2")
    assert visitors["dana"].get(f"{path}/plan").status_code == 404
    assert visitors["dana"].get(f"{path}/history").status_code == 404
