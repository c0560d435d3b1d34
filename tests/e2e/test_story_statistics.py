"""Story 1 of the SDK's contract: private statistics over real processes."""

from collections.abc import Iterator

import pytest
import torch

import gridward as gw
from tests.support.grids import Grid, eventually

pytestmark = pytest.mark.e2e

WEIGHT = [3.5, 3.7, 3.9, 4.1, 4.1]
HEIGHT = [47.3, 48.1, 50.0, 52.3, 49.7]


@pytest.fixture(scope="module")
def records(grid: Grid) -> Iterator[gw.DatasetPointer]:
    """The ward's records, published by bob and found by dana, whom bob admitted."""
    with grid.owner("hospital") as hospital:
        births = {"weight": WEIGHT, "height": HEIGHT, "mother_id": ["m1", "m2", "m3", "m4", "m5"]}
        hospital.publish(
            "birth-records",
            births,
            description="Monthly birth records of the pediatric ward: weight (kg), height (cm)",
            tags=["#birth-records", "#february"],
            allowed_users=["bob", "ana", "alice"],
            entity="mother_id",
            bounds={"weight": (0.5, 6.0), "height": (30, 60)},
            min_rows=5,
        )
        hospital.admit("dana@grid")
        with grid.user("dana") as dana:
            yield eventually(
                lambda: next(iter(dana.search("#birth-records", "#february")), None), "the dataset in search"
            )
        hospital.withdraw("birth-records")


def test_the_dataset_is_found_and_described_but_not_shown(grid: Grid, records: gw.DatasetPointer) -> None:
    with grid.user("dana") as dana:
        hits = dana.search("#birth-records", "#february")
        assert repr(hits) == (
            "{'hospital': [<Pointer birth-records float64[5, 2] #birth-records #february @hospital>]}"
        )
        assert list(dana.search("#birth-records", "#march")) == []
    assert records.columns == ("weight", "height")
    assert records.shape == (5, 2)
    assert "kg" in records.description
    assert "3.5" not in repr(records) + records._repr_html_()


def test_the_values_are_refused_with_a_hint_what_to_do(records: gw.DatasetPointer) -> None:
    with pytest.raises(gw.GetNotPermittedError, match="birth-records"):
        records.get()
    with pytest.raises(gw.GetNotPermittedError):
        records["weight"].get()
    with pytest.raises(gw.GridError):
        records["weight"][0].get()


def test_aggregates_are_released(records: gw.DatasetPointer) -> None:
    assert records["weight"].mean().get().item() == pytest.approx(3.86)
    assert records["height"].mean().get().item() == pytest.approx(49.48)
    assert records.mean(dim=0).get().tolist() == pytest.approx([3.86, 49.48])
    variance = records["weight"].var().get().item()
    assert variance == pytest.approx(torch.tensor(WEIGHT, dtype=torch.float64).var().item())
    bmi = (records["weight"] / (records["height"] / 100) ** 2).mean().get().item()
    weight, height = (torch.tensor(column, dtype=torch.float64) for column in (WEIGHT, HEIGHT))
    assert bmi == pytest.approx((weight / (height / 100) ** 2).mean().item())


def test_an_aggregate_over_a_few_rows_is_suppressed(records: gw.DatasetPointer) -> None:
    heavy = records["weight"] > 4.0
    with pytest.raises(gw.ResultSuppressedError):
        heavy.sum().get()


def test_a_kept_result_carries_the_permission_of_its_data(records: gw.DatasetPointer) -> None:
    total = records["weight"].sum().materialize()
    assert total.get().item() == pytest.approx(sum(WEIGHT))
    rows = (records["weight"] * 2).materialize()
    with pytest.raises(gw.GetNotPermittedError):
        rows.get()
    assert rows.mean().get().item() == pytest.approx(2 * 3.86)


def test_what_the_rules_do_not_give_is_asked_for(grid: Grid, records: gw.DatasetPointer) -> None:
    request = records["weight"].max().request("the report names the heaviest")
    with grid.owner("hospital") as hospital:
        assert hospital.requests[request.id].preview().values
        hospital.requests[request.id].approve()
    assert records["weight"].max().get().item() == max(WEIGHT)
    with pytest.raises(gw.GetNotPermittedError, match="request"):
        records["weight"].max().get()


def test_someone_whom_the_owner_did_not_admit_finds_it_and_gets_nothing(
    grid: Grid, records: gw.DatasetPointer
) -> None:
    with grid.user("eve") as eve:
        found = eve.search("#birth-records")["hospital"][0]
        with pytest.raises(gw.GridError):
            found["weight"].mean().get()


def test_the_owner_reads_the_values(grid: Grid, records: gw.DatasetPointer) -> None:
    with grid.owner("hospital") as hospital:
        mine = hospital.dataset("birth-records")
        assert mine.get().tolist() == [list(row) for row in zip(WEIGHT, HEIGHT, strict=True)]
        assert mine["height"].get().tolist() == HEIGHT
        with pytest.raises(gw.AlreadyExistsError, match="withdraw"):
            hospital.publish("birth-records", {"weight": WEIGHT})
