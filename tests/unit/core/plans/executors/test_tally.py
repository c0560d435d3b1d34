"""Who is behind a sum: counted in slices, and equal to what counting by hand gives."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.tally import tally
from gridward.core.plans.executors.worker import WorkerPool
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType, Input, Kind, Output, Plan, Ref, Role, Step
from gridward.core.plans.tallies import Tally, TallyKind, expose

NUMBERS = st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=30)


def by_hand(contributions: list[float], entities: list[int]) -> tuple[float, float, float]:
    each = [0.0] * (max(entities) + 1)
    for value, entity in zip(contributions, entities, strict=True):
        each[entity] += value
    sizes = [*sorted((abs(value) for value in each), reverse=True), 0.0, 0.0]
    total = sum(sizes)
    if total == 0:
        return 0.0, math.inf, math.inf
    return (
        (sizes[0] + sizes[1]) / total,
        (total - sizes[0] - sizes[1]) / sizes[0],
        float(sum(size > 0 for size in sizes)),
    )


@given(values=NUMBERS, draw=st.data())
def test_a_column_is_counted_as_by_hand(values: list[float], draw: st.DataObject) -> None:
    size = len(values)
    entities = draw.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    one = Tally("t", TallyKind.SUM, "ward@1", ("x",), -1, (-1,))
    x = {"x": torch.tensor(values)}
    found = tally([one], x, {"ward@1": torch.tensor(entities)})["t"].tolist()
    assert found == pytest.approx(by_hand(values, entities))
    alone = tally([one], x, {"other@1": torch.tensor(entities)})["t"].tolist()
    assert alone == pytest.approx(by_hand(values, list(range(size))))


def test_a_product_has_the_contributions_of_every_element() -> None:
    drawn = torch.Generator().manual_seed(1)
    x, y = torch.rand(12, 3, generator=drawn), torch.rand(12, 2, generator=drawn)
    entities = torch.arange(12) % 7
    one = Tally("t", TallyKind.PRODUCT, "ward@1", ("left", "right"), -1)
    found = tally([one], {"left": x.T, "right": y}, {"ward@1": entities})["t"].tolist()
    every = [by_hand((x[:, i] * y[:, j]).tolist(), entities.tolist()) for i in range(3) for j in range(2)]
    worst = (max(a for a, _, _ in every), min(b for _, b, _ in every), min(c for _, _, c in every))
    assert found == pytest.approx(worst)


def test_a_variance_has_squared_distances_as_contributions() -> None:
    x = torch.tensor([[1.0, 5.0], [2.0, 5.0], [9.0, 5.0], [3.0, 5.0]])
    one = Tally("t", TallyKind.SQUARES, "ward@1", ("x",), -2, (-2,))
    squares = (x[:, 0].double() - x[:, 0].double().mean()) ** 2
    assert tally([one], {"x": x}, {})["t"].tolist() == pytest.approx(by_hand(squares.tolist(), [0, 1, 2, 3]))


def test_what_is_added_up_within_a_row_is_one_contribution() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    one = Tally("t", TallyKind.SUM, "ward@1", ("x",), -2, (-2, -1))
    assert tally([one], {"x": x}, {})["t"].tolist() == pytest.approx(by_hand(x.sum(1).tolist(), [0, 1, 2]))
    turned = Tally("t", TallyKind.SUM, "ward@1", ("x",), -1, (-2, -1))
    assert tally([turned], {"x": x.T}, {})["t"].tolist() == tally([one], {"x": x}, {})["t"].tolist()


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_what_is_not_finite_fails_every_threshold(odd: float) -> None:
    one = Tally("t", TallyKind.SUM, "ward@1", ("x",), -1, (-1,))
    assert tally([one], {"x": torch.tensor([1.0, odd, 1.0])}, {})["t"].tolist() == [math.inf, 0.0, 0.0]


def test_a_mask_has_entities_on_both_sides() -> None:
    mask = torch.tensor([[True, False], [True, False], [False, False], [False, True]])
    one = Tally("t", TallyKind.MASK, "ward@1", ("m",), -2)
    sides = tally([one], {"m": mask}, {"ward@1": torch.tensor([0, 0, 0, 1])})["t"]
    assert sides.tolist() == [[1, 1], [2, 1]]


def test_slices_do_not_change_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(50, 9, generator=torch.Generator().manual_seed(2))
    some = [
        Tally("s", TallyKind.SUM, "w@1", ("x",), -2, (-2,)),
        Tally("m", TallyKind.MASK, "w@1", ("m",), -2),
        Tally("p", TallyKind.PRODUCT, "w@1", ("xt", "x"), -1),
    ]
    values = {"x": x, "m": x > 0.5, "xt": x.T}
    groups = {"w@1": torch.arange(50) % 20}
    whole = tally(some, values, groups)
    monkeypatch.setattr("gridward.core.plans.executors.tally._AT_ONCE", 120)
    sliced = tally(some, values, groups)
    assert all(torch.equal(whole[name], sliced[name]) for name in whole)


def test_a_worker_gives_tallies_and_keeps_what_they_read() -> None:
    total = Step(Op.SUM_DIM_INTLIST, (Ref("x"), (0,), False, None), ("t",))
    rows = Input("x", Role.DATA, DType.FLOAT64, (4,))
    plan = Plan("sum", Kind.STATISTICS, "", (), (rows,), (), (total,), (Output("y", Role.OUTPUT, "t"),))
    guarded, tallies = expose(plan, [Tally("t.0", TallyKind.SUM, "w@1", ("x",), -1, (-1,))])
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    with WorkerPool(1) as pool:
        found = pool.run(guarded, {"x": x}, Limits(), tallies, {"w@1": torch.tensor([0, 0, 1, 2])})
    assert found.keys() == {"y", "t.0"}
    assert found["y"].item() == 10
    assert found["t.0"].tolist() == pytest.approx([0.7, 0.75, 3])
