"""What a node lets out of sums over people, who have several rows each."""

from typing import Any

import numpy as np
import pytest

from gridward.core.plans.plan import DType
from gridward.core.schemas.uploads import MediaType
from tests.support.asking import act, asked
from tests.support.files import publish, safetensors, upload
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, ask, code, column, kept, values

Said = dict[str, Any]
PEOPLE, VISITS = 20, 3
OPEN = {"discover": ["@signed-in"], "compute": ["@signed-in"], "raw": ["ana"]}


@pytest.fixture(scope="module")
def visits(ward: NodeUnderTest) -> Said:
    """Three visits of each of twenty people; nearly all of the costs are of the first one."""
    people = np.repeat(np.arange(PEOPLE), VISITS)
    arrays = {
        "person": people,
        "cost": np.where(people == 0, 10_000.0, 10.0),
        "days": np.tile([1.0, 2.0, 3.0], PEOPLE),
        "early": np.tile([True, False, False], PEOPLE),
        "few": people < 5,
    }
    return publish(ward, ward.as_("bob"), arrays, name="visits", access=OPEN, entity="person")


@pytest.fixture
def dana(ward: NodeUnderTest) -> Headers:
    return ward.as_("dana")


def reason(ward: NodeUnderTest) -> str:
    answer = ward.client.get("/v1/audit", params={"limit": 1}, headers=ward.as_("bob"))
    return str(answer.json()["items"][0]["reason"])


def test_a_sum_that_one_person_is_most_of_is_suppressed_whatever_is_done_with_it(
    ward: NodeUnderTest, visits: Said, dana: Headers
) -> None:
    cost, days = column(visits, "cost"), column(visits, "days")
    for answer in (cost.sum(), cost.mean(), cost.var(), (cost * days).sum(), cost.sum() * 0 + 1):
        assert code(ask(ward, dana, answer)) == "result_suppressed"
        assert reason(ward) == "dominance"
    assert values(ask(ward, dana, days.sum()))[0].item() == 120.0
    assert values(ask(ward, ward.as_("ana"), cost.sum()))[0].item() == 30_570.0


def test_a_condition_is_counted_in_people(ward: NodeUnderTest, visits: Said, dana: Headers) -> None:
    days, few = column(visits, "days"), column(visits, "few")
    assert code(ask(ward, dana, days.where(few, 0).sum())) == "result_suppressed"
    assert reason(ward) == "small_group"
    early = column(visits, "early")
    assert values(ask(ward, dana, days.where(early, 0).sum()))[0].item() == 20.0


def test_a_sum_of_few_people_in_a_column_of_numbers_is_a_small_group_too(
    ward: NodeUnderTest, dana: Headers
) -> None:
    rare = np.zeros(40)
    rare[:4] = 1.0
    data = publish(ward, ward.as_("bob"), {"rare": rare}, name="rare", access=OPEN)
    assert code(ask(ward, dana, column(data, "rare").sum())) == "result_suppressed"
    assert reason(ward) == "small_group"


def test_bins_hold_as_few_people_as_their_rows_can_be_of(
    ward: NodeUnderTest, visits: Said, dana: Headers
) -> None:
    days = column(visits, "days")
    assert values(ask(ward, dana, days.histc(1, 0.0, 4.0)))[0].tolist() == [60.0]
    assert code(ask(ward, dana, days.histc(3, 0.5, 3.5))) == "result_suppressed"
    loose = {"min_rows": 7, "disclosure": {}}
    path = f"/v1/datasets/{visits['id']}"
    assert ward.client.patch(path, json=loose, headers=ward.as_("bob")).status_code == 200
    assert values(ask(ward, dana, days.histc(3, 0.5, 3.5)))[0].tolist() == [20.0, 20.0, 20.0]
    assert ward.client.patch(path, json={"min_rows": 10}, headers=ward.as_("bob")).status_code == 200


def test_kept_results_are_looked_at_when_they_are_kept(
    ward: NodeUnderTest, visits: Said, dana: Headers
) -> None:
    cost = column(visits, "cost")
    assert code(ask(ward, dana, cost.sum(), release=False)) == "result_suppressed"
    rows = ask(ward, dana, cost * 2, release=False).json()["objects"][0]
    assert code(ask(ward, dana, kept(rows).sum())) == "result_suppressed"
    assert reason(ward) == "dominance"


def test_without_a_word_on_whose_rows_they_are_there_are_no_aggregates(
    ward: NodeUnderTest, dana: Headers
) -> None:
    arrays = {"x": np.arange(40.0)}
    data = publish(ward, ward.as_("bob"), arrays, name="whose", access=OPEN, rows_are_entities=False)
    refused = ask(ward, dana, column(data, "x").mean())
    assert code(refused) == "result_suppressed"
    assert "entity column" in refused.json()["detail"]
    told = {"rows_are_entities": True}
    path = f"/v1/datasets/{data['id']}"
    said = ward.client.patch(path, json=told, headers=ward.as_("bob")).json()
    assert said["rows_are_entities"]
    assert values(ask(ward, dana, column(data, "x").mean()))[0].item() == 19.5


def test_an_entity_column_says_whose_the_rows_are(ward: NodeUnderTest, visits: Said) -> None:
    path = f"/v1/datasets/{visits['id']}"
    refused = ward.client.patch(path, json={"rows_are_entities": True}, headers=ward.as_("bob"))
    assert code(refused) == "invalid_input"


def test_a_regression_needs_enough_people(ward: NodeUnderTest, dana: Headers) -> None:
    drawn = np.random.default_rng(1)
    arrays = {"x": drawn.normal(size=(40, 14)), "y": drawn.normal(size=40)}
    data = publish(ward, ward.as_("bob"), arrays, name="regression", access=OPEN)
    x, y = column(data, "x"), column(data, "y")
    assert code(ask(ward, dana, x.T @ x)) == "result_suppressed"
    assert reason(ward) == "overfitted"
    assert values(ask(ward, dana, x.T @ y.unsqueeze(1)))[0].shape == (14, 1)
    assert values(ask(ward, dana, x[:, :13].T @ x[:, :13]))[0].shape == (13, 13)


@pytest.mark.parametrize("order", ["min", "max", "median", "quantile", "sort", "argmax", "cumsum"])
def test_no_order_statistic_over_rows_leaves(
    ward: NodeUnderTest, visits: Said, dana: Headers, order: str
) -> None:
    days = column(visits, "days")
    asked_for = {
        "min": lambda: days.min(),
        "max": lambda: days.max(),
        "median": lambda: days.median(),
        "quantile": lambda: days.quantile(0.9),
        "sort": lambda: days.sort()[0],
        "argmax": lambda: days.argmax(),
        "cumsum": lambda: days.cumsum(0),
    }[order]()
    assert code(ask(ward, dana, asked_for)) == "get_not_permitted"


def test_whoever_decides_sees_the_figures_and_the_asker_does_not(ward: NodeUnderTest, visits: Said) -> None:
    eve, bob = ward.as_("eve"), ward.as_("bob")
    request = asked(ward, eve, column(visits, "cost").sum())
    assert request["verdicts"] is None
    preview = act(ward, bob, request, "preview").json()
    failed = {one["check"]: one["figures"] for one in preview["verdicts"] if not one["passed"]}
    assert failed.keys() == {"dominance", "p_ratio"}
    assert failed["dominance"].startswith("largest two: 98.2%")
    assert "20 entities" in {v["check"]: v["figures"] for v in preview["verdicts"]}["entities"]


def test_counts_are_rounded_where_the_owner_says_so_and_the_answer_tells(
    ward: NodeUnderTest, dana: Headers
) -> None:
    arrays = {"x": np.arange(43.0)}
    data = publish(ward, ward.as_("bob"), arrays, name="counts", access=OPEN, disclosure={"round_counts": 5})
    above = (column(data, "x") > 20.5).sum()
    given = ask(ward, dana, above)
    assert values(given)[0].item() == 20
    assert given.json()["notes"] == ["counts of rows of 'counts' are rounded to multiples of 5"]
    x = column(data, "x")
    share = values(ask(ward, dana, (x > 20.5).to(DType.FLOAT64).mean()))[0].item()
    assert share == pytest.approx(20 / 43)
    twice = ((x > 20.5).to(DType.FLOAT64) * 2).sum()
    assert code(ask(ward, dana, twice)) == "result_suppressed"
    assert reason(ward) == "not_rounded"
    assert values(ask(ward, dana, x.where(x > 20.5, 0).sum()))[0].item() == sum(range(21, 43))
    exact = ask(ward, ward.as_("ana"), above)
    assert (values(exact)[0].item(), exact.json()["notes"]) == (22, [])


def test_another_version_has_people_of_its_own(ward: NodeUnderTest, dana: Headers) -> None:
    bob = ward.as_("bob")
    access = OPEN
    many = {"person": np.arange(40), "x": np.arange(40.0)}
    data = publish(ward, bob, many, name="versions", access=access, entity="person")
    assert values(ask(ward, dana, column(data, "x").mean()))[0].item() == 19.5
    few = {"person": np.arange(40) // 8, "x": np.arange(40.0)}
    sent = {"upload_id": upload(ward, bob, safetensors(few), MediaType.SAFETENSORS)}
    path = f"/v1/datasets/{data['id']}/content"
    assert ward.client.put(path, json=sent, headers=bob).status_code == 200
    assert code(ask(ward, dana, column(data, "x").mean())) == "result_suppressed"
    assert reason(ward) == "too_few_entities"
