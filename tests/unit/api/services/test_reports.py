"""The Five-Safes report: everything that an auditor asks for, and no value from data."""

import secrets
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from gridward.core.audit import check_head
from gridward.core.reports import markdown
from gridward.core.schemas.reports import FiveSafesOut
from tests.support.asking import approve, asked
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import ask, code, column

PATH = "/v1/reports/five-safes"
OPEN = {"discover": ["@signed-in"], "compute": ["@signed-in"]}
SECRET = 31415.9265


@pytest.fixture(scope="module")
def released(ward: NodeUnderTest) -> dict[str, Any]:
    """A dataset, a question that was approved, its answer, and one that was suppressed."""
    name = f"few-{secrets.token_hex(4)}"
    few = publish(ward, ward.as_("bob"), {"x": np.full(5, SECRET)}, name=name, access=OPEN)
    mean = column(few, "x").mean()
    assert code(ask(ward, ward.as_("ana"), mean)) == "result_suppressed"
    request = asked(ward, ward.as_("ana"), mean, reason="[ward](http://evil) | report")
    approve(ward, ward.as_("bob"), request)
    given = ask(ward, ward.as_("ana"), mean).json()
    return {"few": few, "request": request, "given": given}


def report(ward: NodeUnderTest, user: str = "bob", **params: str) -> FiveSafesOut:
    answer = ward.client.get(PATH, params=params, headers=ward.as_(user))
    assert answer.status_code == 200, answer.text
    assert str(SECRET)[:6] not in answer.text
    return FiveSafesOut.model_validate_json(answer.content)


def test_all_five_are_told_with_the_verified_head_of_the_log(
    ward: NodeUnderTest, released: dict[str, Any]
) -> None:
    found = report(ward)
    check_head(found.head)
    assert (found.flaws, found.head.count > 0) == ([], True)
    project = next(one for one in found.projects if one.request_id == released["request"]["id"])
    assert (project.asked_by, project.status, project.decided_by, project.used) == (
        "ana",
        "used_up",
        "bob",
        1,
    )
    person = next(one for one in found.people if one.username == "ana")
    assert (person.role, person.disabled, person.sign_ins) == ("data_scientist", False, 1)
    data = next(one for one in found.data if one.dataset_id == released["few"]["id"])
    assert (data.entity, data.min_rows, data.access["compute"]) == ("every row", 10, ["@signed-in"])
    output = next(one for one in found.outputs if one.request_id == released["request"]["id"])
    assert output.result_digest == released["given"]["result_digest"]
    answers = {(one.action, one.decision, one.reason): one.times for one in found.decisions}
    assert answers["release", "value", "approved"] == 1
    assert answers["release", "suppressed", "too_few_rows"] == 1
    assert {one.name for one in found.settings} >= {"database", "second factor needed for"}


def test_a_refused_sign_in_counts_for_who_was_tried(ward: NodeUnderTest) -> None:
    ward.as_("carl", "compliance_officer")
    ward.sign_in("carl", "wrong password")
    found = report(ward, "carl")
    assert next(one for one in found.people if one.username == "carl").refused_sign_ins == 1


def test_a_period_leaves_out_what_was_before_and_after(ward: NodeUnderTest, released: dict[str, Any]) -> None:
    later = report(ward, since=datetime(2100, 1, 1, tzinfo=UTC).isoformat())
    assert (later.projects_total, later.outputs_total, later.decisions) == (0, 0, [])
    earlier = report(ward, until=datetime(2000, 1, 1, tzinfo=UTC).isoformat())
    assert (earlier.projects_total, earlier.outputs_total, earlier.decisions) == (0, 0, [])
    assert released["request"]["id"] in [one.request_id for one in report(ward).projects]


@pytest.mark.parametrize("role", ["data_scientist", "data_officer", "guest"])
def test_it_is_for_those_who_may_read_the_log(ward: NodeUnderTest, role: str) -> None:
    headers = ward.as_(role.replace("_", "-"), role)
    assert code(ward.client.get(PATH, headers=headers)) == "not_authorized"


def test_making_one_is_in_the_log(ward: NodeUnderTest) -> None:
    report(ward)
    rows = ward.client.get("/v1/audit", params={"action": "report_audit"}, headers=ward.as_("bob")).json()
    assert rows["items"][0]["actor"] == "bob"


def test_people_read_it_and_words_of_others_stay_words(ward: NodeUnderTest, released: dict[str, Any]) -> None:
    page = markdown(report(ward))
    for title in ("Safe projects", "Safe people", "Safe settings", "Safe data", "Safe outputs"):
        assert f"## {title}" in page
    assert r"\[ward\]\(http://evil\) \| report" in page
    assert released["given"]["result_digest"][:12] in page
    assert "Every entry is as it was written." in page
