"""What a party sees of a guarded query is uniform, whether values keep within their bits or not.

What the client sees of the guards is 0 while they do; a build that forgets a mask is noticed.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import CHECKS
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.program import Program, StepWidth
from tests.support import parties as support
from tests.support.parties import BATCH, ask, mlp_plan, plan_of, step
from tests.unit.core.smpc.test_views import (
    CHI_LIMIT,
    FIRST,
    PAIR_LIMIT,
    QUERIES,
    SECOND,
    Opened,
    break_draws,
    correlation,
    difference,
    grid_of,
    uniformity,
    views,
)

Reals = NDArray[np.float64]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    recorder = Opened()
    monkeypatch.setattr("gridward.core.smpc.session.open_together", recorder)
    # what the parties see is the question, also where the client refuses the answer
    monkeypatch.setattr(support, "reconstruct_output", lambda program, shares, checks: np.zeros(1))
    return recorder


def layers(parties: int = 2) -> Program:
    """Compile a ReLU between two layers in 19 bits: `SECOND` has values that leave them."""
    width = StepWidth("step 1 aten.addmm.default", 19, proved=False)
    return compile_plan(mlp_plan(3, 3, 2), batch=1, parties=parties, widths=[width], guard=True)


def largest() -> Program:
    """Compile the largest of three truncated values, all pairs at once."""
    steps = [
        step(Op.MM, Ref("x"), Ref("w"), out="h"),
        step(Op.AMAX, Ref("h"), (1,), True, out="m"),
        step(Op.MM, Ref("m"), Ref("v"), out="y"),
    ]
    plan = plan_of(steps, (BATCH, 3), {"w": (3, 3), "v": (1, 1)}, "y")
    width = StepWidth("step 1 aten.amax.default", 19, proved=False)
    return compile_plan(plan, batch=1, parties=2, maxima=MaxForm.PAIRS, widths=[width], guard=True)


PROGRAMS = {"layers": layers, "layers of three": lambda: layers(3), "largest": largest}


@pytest.mark.parametrize("name", PROGRAMS)
def test_views_of_guarded_queries_are_uniform_and_alike_within_the_bits_and_beyond(
    name: str, opened: Opened
) -> None:
    grid = grid_of(PROGRAMS[name]())
    first, second = views(grid, FIRST, opened), views(grid, SECOND, opened)
    assert abs(uniformity(first)) < CHI_LIMIT and correlation(first) < PAIR_LIMIT
    assert abs(difference(first, second)) < CHI_LIMIT


@pytest.mark.parametrize(
    ("name", "slot"),
    [*(("layers", slot) for slot in ("above", "turn", "still")), ("largest", "hidden"), ("largest", "turn")],
)
def test_a_build_that_forgets_a_mask_of_a_guard_is_noticed(
    name: str, slot: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = grid_of(PROGRAMS[name]())
    break_draws(monkeypatch, slot)
    assert correlation(views(grid, FIRST, opened)) > PAIR_LIMIT


def test_each_partys_part_of_what_a_guard_found_is_uniform(opened: Opened) -> None:
    grid = grid_of(layers())
    sums, shares = [], []
    for _ in range(QUERIES):
        parts = [result.checks for result in ask(grid, SECOND).results]
        shares.append(np.concatenate(parts[:1]).astype("<u2").view(np.uint8))
        sums.append(np.sum(parts, axis=0, dtype=np.uint64).astype(np.uint16))
    assert abs(uniformity(np.stack(shares))) < CHI_LIMIT
    assert np.stack(sums).shape == (QUERIES, CHECKS)
    assert np.all(np.any(np.stack(sums) != 0, axis=1))
