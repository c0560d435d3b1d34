"""Sums over rows of several nodes, as real processes: the total is right, and only the total leaves."""

from collections.abc import Iterator

import pytest
import torch

import gridward as gw
from tests.support.grids import Grid, eventually

pytestmark = pytest.mark.e2e

WARDS = {
    "hospital": {"weight": torch.linspace(2.5, 4.5, 40), "height": torch.linspace(45, 55, 40)},
    "public": {"weight": torch.linspace(3.0, 3.4, 20), "height": torch.linspace(47, 49, 20)},
    "company": {"weight": torch.linspace(1.0, 2.0, 11), "height": torch.linspace(40, 41, 11)},
}
ALL = {name: torch.cat([ward[name] for ward in WARDS.values()]) for name in ("weight", "height")}


@pytest.fixture(scope="module")
def wards(grid: Grid) -> Iterator[list[gw.DatasetPointer]]:
    """Three wards on three nodes; dana may compute on all of them, eve on the first two."""
    for name, columns in WARDS.items():
        with grid.owner(name) as owner:
            owner.publish(
                "ward",
                columns,
                tags=["#ward"],
                access=gw.Access(discover=gw.SIGNED_IN, compute=gw.SIGNED_IN),
                rows_are_entities=True,
            )
            owner.admit("dana@grid")
            if name != "company":
                owner.admit("eve@grid")
    with grid.user("dana") as dana:
        yield eventually(lambda: _all(dana), "the wards in search")
    for name in WARDS:
        with grid.owner(name) as owner:
            owner.withdraw("ward")


def _all(user: gw.GatewayClient) -> list[gw.DatasetPointer] | None:
    found = user.search("#ward")
    return [found[name][0] for name in WARDS] if len(found) == len(WARDS) else None


def test_totals_over_three_nodes_are_those_of_all_rows(wards: list[gw.DatasetPointer]) -> None:
    rows = gw.cat(wards)
    torch.testing.assert_close(rows["weight"].mean().get(), ALL["weight"].mean(), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows["height"].sum().get(), ALL["height"].sum(), atol=1e-4, rtol=1e-6)
    matrix = torch.stack([ALL["weight"], ALL["height"]], 1)
    torch.testing.assert_close(rows.mean(dim=0).get(), matrix.mean(dim=0), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows.mean().get(), matrix.mean(), atol=1e-4, rtol=0)
    heavy = gw.cat([ward["weight"] > 3.2 for ward in wards]).sum().get()
    assert heavy == (ALL["weight"] > 3.2).sum()


def test_two_columns_of_one_node_are_one_contribution(wards: list[gw.DatasetPointer]) -> None:
    rows = gw.cat([wards[0]["weight"], wards[1]["weight"], wards[0]["height"]])
    joined = torch.cat([WARDS["hospital"]["weight"], WARDS["public"]["weight"], WARDS["hospital"]["height"]])
    torch.testing.assert_close(rows.mean().get(), joined.mean(), atol=1e-4, rtol=0)


def test_who_may_not_compute_on_one_node_gets_no_total(grid: Grid, wards: list[gw.DatasetPointer]) -> None:
    with grid.user("eve") as eve, pytest.raises(gw.GetNotPermittedError, match="company"):
        gw.cat(list(eve.search("#ward")))["weight"].mean().get()


def test_totals_beyond_the_range_are_refused_until_there_are_fewer_fraction_bits(
    wards: list[gw.DatasetPointer],
) -> None:
    with pytest.raises(gw.OutOfRangeError, match=r"hospital|public|company"):
        gw.cat([ward["weight"] * 2.0**50 for ward in wards]).sum().get()
    big = gw.cat([ward["weight"].double() * 2.0**34 for ward in wards]).sum(fraction_bits=8).get()
    torch.testing.assert_close(big, ALL["weight"].double().sum() * 2.0**34, rtol=1e-6, atol=0)


def test_an_aggregator_that_is_down_is_named(grid: Grid, wards: list[gw.DatasetPointer]) -> None:
    total = gw.cat(wards[:2])["weight"].mean()
    wanted = torch.cat([WARDS["hospital"]["weight"], WARDS["public"]["weight"]]).mean()
    helpers = ["company", "university"]
    torch.testing.assert_close(total.get(aggregators=helpers), wanted, atol=1e-4, rtol=0)
    with pytest.raises(gw.InvalidInputError, match="aggregators"):
        total.get(aggregators=["company"])
    university = grid.nodes["university"]
    university.kill()
    try:
        with pytest.raises((gw.NodeUnreachableError, gw.NoMatchError), match="university"):
            total.get(aggregators=helpers)
        torch.testing.assert_close(total.get(), wanted, atol=1e-4, rtol=0)
    finally:
        university.start()
        grid.await_live()
