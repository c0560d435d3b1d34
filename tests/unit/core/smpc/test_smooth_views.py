"""What a party sees of a smooth function is uniform; a build that forgets one of its masks is noticed."""

import numpy as np
import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.program import Program
from gridward.core.smpc.rules import curves
from tests.support.parties import BATCH, Grid, plan_of, step
from tests.unit.core.smpc.test_views import (
    CHI_LIMIT,
    PAIR_LIMIT,
    Opened,
    break_draws,
    correlation,
    difference,
    grid_of,
    uniformity,
    views,
)

FIRST, SECOND = np.array([[1.0]]), np.array([[-30.0]])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    # tables of 64 cells: a view is short enough to compare all of its bits with one another
    monkeypatch.setattr(curves, "INDEX_BITS", 6)
    recorder = Opened()
    monkeypatch.setattr("gridward.core.smpc.session.open_together", recorder)
    return recorder


def compiled(op: Op, parties: int = 2) -> Program:
    """Compile a curve of one value between two products: its mask has a carry, its line is a coin."""
    steps = [
        step(Op.MM, Ref("x"), Ref("w"), out="h"),
        step(op, Ref("h"), out="c"),
        step(Op.MM, Ref("c"), Ref("v"), out="y"),
    ]
    return compile_plan(plan_of(steps, (BATCH, 1), {"w": (1, 1), "v": (1, 1)}, "y"), batch=1, parties=parties)


def shown() -> Program:
    """Compile a curve whose roundings show: its cell is opened apart."""
    return compile_plan(plan_of([step(Op.TANH, Ref("x"), out="y")], (BATCH, 1), {}, "y"), batch=1, parties=2)


def curve_grid(parties: int = 2) -> Grid:
    return grid_of(compiled(Op.TANH, parties))


@pytest.mark.parametrize("parties", [2, 3])
def test_views_of_a_curve_are_uniform_and_alike(parties: int, opened: Opened) -> None:
    grid = curve_grid(parties)
    first, second = views(grid, FIRST, opened), views(grid, SECOND, opened)
    assert abs(uniformity(first)) < CHI_LIMIT and correlation(first) < PAIR_LIMIT
    assert abs(difference(first, second)) < CHI_LIMIT


def test_views_of_a_curve_that_shows_are_uniform_and_alike(opened: Opened) -> None:
    grid = grid_of(shown())
    first, second = views(grid, FIRST, opened), views(grid, SECOND, opened)
    assert abs(uniformity(first)) < CHI_LIMIT and correlation(first) < PAIR_LIMIT
    assert abs(difference(first, second)) < CHI_LIMIT


def test_views_of_a_reciprocal_root_are_uniform_and_alike(opened: Opened) -> None:
    grid = grid_of(compiled(Op.RSQRT))
    first, second = views(grid, FIRST, opened), views(grid, 90 * FIRST, opened)
    assert abs(uniformity(first)) < CHI_LIMIT
    assert abs(difference(first, second)) < CHI_LIMIT


NAMES = [
    "mask",
    "hot",
    "flips",
    "beta",
    "low",
    "beta_low",
    "flip",
    "beta_mask",
    "beta_carry",
    "block0",
    "merge0.0",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_build_that_forgets_one_kind_of_mask_is_noticed(
    name: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = curve_grid()
    break_draws(monkeypatch, name)
    assert correlation(views(grid, FIRST, opened)) > PAIR_LIMIT


def test_every_kind_of_slot_of_a_curve_is_broken_once() -> None:
    program = compiled(Op.TANH)
    families = {
        slot.name.rstrip("0123456789.")
        for slot in program.manifest
        if type(program.gates[slot.gate]).__name__ in ("Piecewise", "LookUp")
    }
    assert families - {"products"} == {name.rstrip("0123456789.") for name in NAMES}
