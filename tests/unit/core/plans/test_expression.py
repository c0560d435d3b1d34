"""Expressions compute what torch computes, as one plan, and refuse early what torch would refuse."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.plans.codec import decode, digest, encode
from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.executors.gate import admit
from gridward.core.plans.executors.plain import run
from gridward.core.plans.executors.shapes import propagate
from gridward.core.plans.expression import Expression, Source, cat, maximum, sources, stack, to_plan, where
from gridward.core.plans.plan import Dim, DType, Ref
from gridward.core.plans.validate import references

ROWS = Dim("ward")
TABLE = torch.tensor([[3.5, 47.3], [3.7, 48.1], [3.9, 50.0], [4.1, 52.3], [4.1, 49.7]], dtype=torch.float64)
AGES = torch.tensor([31, 24, 40, 31, 28], dtype=torch.int32)
COUNTS = torch.tensor([0, 1, 2, 1, 3], dtype=torch.uint8)
CUBE = torch.linspace(-1, 1, 5 * 3 * 4, dtype=torch.float64).reshape(5, 3, 4)
VALUES = {"table": TABLE, "ages": AGES, "counts": COUNTS, "cube": CUBE}


def remote(key: str, rows: Dim | int = ROWS) -> Expression:
    value = VALUES[key]
    return Expression.of(Source(key, NAMES[value.dtype], (rows, *value.shape[1:])))


def compute(value: Any) -> torch.Tensor:
    plan, sources = to_plan(value)
    assert decode(encode(plan)) == plan
    admit(plan)
    return run(plan, {name: VALUES[str(source.key)] for name, source in sources.items()})["output"]


def known(shape: tuple[int | Dim, ...]) -> tuple[int | None, ...]:
    return tuple(5 if size == ROWS else size if isinstance(size, int) else None for size in shape)


Formula = Callable[[Any, Any, Any, Any], Any]

SAME: dict[str, Formula] = {
    "mean": lambda t, a, c, q: t[:, 0].mean(),
    "var of columns": lambda t, a, c, q: t.var(0),
    "std with correction": lambda t, a, c, q: t.std(dim=0, correction=0, keepdim=True),
    "arithmetic": lambda t, a, c, q: (2 - t) * 3 / (t + 1) - t**2 + 2.0**t - -t,
    "integers": lambda t, a, c, q: (a // 7) * 2 - a % 5 + 1,
    "true division of integers": lambda t, a, c, q: a / 2,
    "an integer and a float": lambda t, a, c, q: a * 0.5,
    "an integer and doubles": lambda t, a, c, q: a + t[:, 1],
    "reflected division": lambda t, a, c, q: 1 / t,
    "sum of small integers": lambda t, a, c, q: c.sum(),
    "any of uint8": lambda t, a, c, q: c.any(),
    "all of bools": lambda t, a, c, q: (t > 3).all(dim=1),
    "comparison": lambda t, a, c, q: (t[:, 0] >= 3.9) & ~(a == 31) | (a < 25),
    "exclusive or": lambda t, a, c, q: (a > 30) ^ (t[:, 1] != 50.0),
    "mask": lambda t, a, c, q: t[t[:, 0] > 3.6].mean(dim=0),
    "mask of elements": lambda t, a, c, q: t[t > 40].sum(),
    "two columns by one mask": lambda t, a, c, q: (t[a > 25][:, 0] * t[a > 25][:, 1]).sum(),
    "columns by list": lambda t, a, c, q: t[:, [1, 0, -1]].mean(0),
    "rows by expression": lambda t, a, c, q: t[c.long()],
    "slices": lambda t, a, c, q: t[1:4:2, 1:],
    "negative index": lambda t, a, c, q: t[..., -1],
    "new dimension": lambda t, a, c, q: t[:, None, 0],
    "matrix product": lambda t, a, c, q: t.T @ t,
    "vector product": lambda t, a, c, q: t[:, 0] @ t[:, 1],
    "matrix by vector": lambda t, a, c, q: q[:, 0] @ q[0, 0],
    "vector by matrix": lambda t, a, c, q: t[:, 0] @ t,
    "batch product": lambda t, a, c, q: q @ q.transpose(1, 2),
    "batch by matrix": lambda t, a, c, q: q @ q[0].t(),
    "reshape": lambda t, a, c, q: q.reshape(-1, 4).sum(0),
    "flatten": lambda t, a, c, q: q.flatten(1).amax(1),
    "view": lambda t, a, c, q: q.view(-1),
    "permute": lambda t, a, c, q: q.permute(2, 0, 1).cumsum(0),
    "squeeze": lambda t, a, c, q: t.unsqueeze(0).squeeze(0).unsqueeze(-1).squeeze(),
    "expand": lambda t, a, c, q: t[:, :1].expand(-1, 3),
    "elementwise": lambda t, a, c, q: t.log().exp().sqrt() + t.sin() * t.cos() + t.rsqrt() - t.log1p(),
    "more elementwise": lambda t, a, c, q: q.tanh() + q.sigmoid() + q.erf() + q.relu() + q.sign() + q.abs(),
    "rounding": lambda t, a, c, q: t.floor() + t.ceil() * 10 + t.round() * 100,
    "floats of integers": lambda t, a, c, q: a.sqrt() + a.exp(),
    "clamp": lambda t, a, c, q: q.clamp(-0.5, 0.5) + t[:, 0].clamp(min=3.6).reshape(-1, 1, 1),
    "isnan": lambda t, a, c, q: (t / (t - t)).isnan().sum(),
    "order": lambda t, a, c, q: t.sort(0).values[0] + t.amin(0) - t.amax(0),
    "places": lambda t, a, c, q: t.argmax(0) * 10 + t.argmin(0),
    "place of all": lambda t, a, c, q: q.argmax(),
    "largest": lambda t, a, c, q: t.max() - t.min(),
    "largest and place": lambda t, a, c, q: t.max(0).values + t.min(0).indices,
    "larger of two": lambda t, a, c, q: t.max(t * 0 + 4).min(t * 0 + 45),
    "median": lambda t, a, c, q: t.median(),
    "quantile": lambda t, a, c, q: t.quantile(0.3, dim=0),
    "quantile of all": lambda t, a, c, q: q.quantile(0.9),
    "histogram": lambda t, a, c, q: t.histc(4, min=3, max=60),
    "softmax": lambda t, a, c, q: q.softmax(-1),
    "conversions": lambda t, a, c, q: t[:, 0].long() + a.double() + c.bool().float(),
    "square": lambda t, a, c, q: t.square().sum(1),
}


@pytest.mark.parametrize("name", SAME)
def test_an_expression_computes_what_torch_computes(name: str) -> None:
    formula = SAME[name]
    value = formula(*(remote(key) for key in VALUES))
    wanted = formula(*VALUES.values())
    given = compute(value)
    torch.testing.assert_close(given, wanted, equal_nan=True)
    assert value.dtype is NAMES[wanted.dtype]
    foreseen = known(value.shape)
    assert len(foreseen) == wanted.ndim
    assert all(size in (None, real) for size, real in zip(foreseen, wanted.shape, strict=True))


def test_free_functions_compute_what_torch_computes() -> None:
    t, a = remote("table"), remote("ages")
    torch.testing.assert_close(compute(cat([t, t], 1)), torch.cat([TABLE, TABLE], 1))
    torch.testing.assert_close(compute(cat([t, t * 2]).mean(0)), torch.cat([TABLE, TABLE * 2]).mean(0))
    torch.testing.assert_close(compute(stack([t, t], -1)), torch.stack([TABLE, TABLE], -1))
    torch.testing.assert_close(compute(where(a > 30, a, 0.5)), torch.where(AGES > 30, AGES, 0.5))
    torch.testing.assert_close(compute(where(t > 30, 1.0, t)), torch.where(TABLE > 30, 1.0, TABLE))
    torch.testing.assert_close(compute(maximum(t, a.unsqueeze(1))), torch.maximum(TABLE, AGES.unsqueeze(1)))


def test_a_literal_is_a_public_operand() -> None:
    weights = torch.tensor([2.0, 4.0], dtype=torch.float64)
    literal = Expression.literal(DType.FLOAT64, (2,), weights.numpy().tobytes())
    torch.testing.assert_close(compute(remote("table") @ literal), TABLE @ weights)


@given(st.floats(-1e6, 1e6, allow_nan=False), st.integers(-(2**31), 2**31), st.sampled_from("+-*/"))
def test_numbers_combine_as_in_torch(real: float, whole: int, sign: str) -> None:
    apply: dict[str, Callable[[Any, Any], Any]] = {
        "+": lambda x, n: n + x,
        "-": lambda x, n: n - x,
        "*": lambda x, n: x * n,
        "/": lambda x, n: n / x,
    }
    for number in (real + 0.0, whole):
        given = compute(apply[sign](remote("table"), number))
        torch.testing.assert_close(given, apply[sign](TABLE, number))


def test_the_plan_names_neither_keys_nor_numbers_of_rows() -> None:
    plan, fed = to_plan(remote("table")[:, 0].mean())
    assert plan.inputs[0].shape == (Dim("N0"), 2)
    assert b"table" not in encode(plan)
    other, _ = to_plan(Expression.of(Source(("b", 7), DType.FLOAT64, (Dim("x"), 2)))[:, 0].mean())
    assert digest(other) == digest(plan)
    assert fed == {"x0": Source("table", DType.FLOAT64, (ROWS, 2))}


def test_columns_of_one_table_share_their_rows_and_tables_do_not() -> None:
    weight = Expression.of(Source("w", DType.FLOAT64, (ROWS,)))
    height = Expression.of(Source("h", DType.FLOAT64, (ROWS,)))
    foreign = Expression.of(Source("f", DType.FLOAT64, (Dim("elsewhere"),)))
    plan, fed = to_plan((weight * height).sum())
    assert {value.shape for value in plan.inputs} == {(Dim("N0"),)}
    assert len(fed) == 2
    with pytest.raises(ValueError, match="do not fit"):
        weight * foreign


def test_equal_parts_are_computed_once() -> None:
    t = remote("table")
    plan, _ = to_plan((t.mean() - t.mean()) * t.mean())
    assert [step.op.value for step in plan.steps].count("aten.mean.dim") == 1


def test_a_long_chain_neither_recurses_nor_repeats() -> None:
    value = remote("table")
    for _ in range(3000):
        value = value + value
    plan, _ = to_plan(value)
    assert len(plan.steps) == 3000
    assert all(len(set(references(step))) == 1 for step in plan.steps)


def test_several_expressions_become_one_plan() -> None:
    t = remote("table")
    plan, fed = to_plan({"mean": t.mean(0), "rows": (t[:, 0] * 0 + 1).sum()})
    results = run(plan, {name: VALUES[str(source.key)] for name, source in fed.items()})
    assert results["rows"] == 5
    torch.testing.assert_close(results["mean"], TABLE.mean(0))
    assert sources(t.mean(0)) == tuple(fed.values())


def test_sort_gives_values_and_places() -> None:
    ordered = remote("ages").sort(descending=True)
    torch.testing.assert_close(compute(ordered.values), AGES.sort(descending=True).values)
    places = compute(ordered.indices)
    torch.testing.assert_close(AGES[places], AGES.sort(descending=True).values)


REFUSED: dict[str, tuple[type[Exception], Formula]] = {
    "truth": (TypeError, lambda t, a, c, q: bool(t)),
    "iteration": (TypeError, lambda t, a, c, q: list(t)),
    "length": (TypeError, lambda t, a, c, q: len(t)),
    "mean of integers": (TypeError, lambda t, a, c, q: a.mean()),
    "a list as operand": (TypeError, lambda t, a, c, q: t * [1, 2]),
    "a word as operand": (TypeError, lambda t, a, c, q: t == "x"),
    "shapes": (ValueError, lambda t, a, c, q: t + q),
    "different masks": (ValueError, lambda t, a, c, q: t[a > 30][:, 0] + t[a > 20][:, 0]),
    "a mask and all": (ValueError, lambda t, a, c, q: t[a > 30] + t),
    "mask of another shape": (ValueError, lambda t, a, c, q: q[t > 3]),
    "too many indices": (IndexError, lambda t, a, c, q: a[0, 0]),
    "index out of range": (IndexError, lambda t, a, c, q: t[:, 2]),
    "float index": (IndexError, lambda t, a, c, q: t[t[:, 0]]),
    "truth as index": (IndexError, lambda t, a, c, q: t[True]),
    "a word as index": (IndexError, lambda t, a, c, q: t["weight"]),
    "two masks": (IndexError, lambda t, a, c, q: t[a > 1, t[0] > 1]),
    "negative step": (ValueError, lambda t, a, c, q: t[:, ::-1]),
    "dimension": (IndexError, lambda t, a, c, q: t.sum(2)),
    "dimension twice": (ValueError, lambda t, a, c, q: t.sum((0, -2))),
    "product": (ValueError, lambda t, a, c, q: t @ t),
    "product of types": (TypeError, lambda t, a, c, q: t @ a),
    "reshape to a number": (ValueError, lambda t, a, c, q: t.reshape(5, 2)),
    "and of numbers": (TypeError, lambda t, a, c, q: a & a),
    "not of numbers": (TypeError, lambda t, a, c, q: ~a),
    "minus of bools": (TypeError, lambda t, a, c, q: (a > 1) - (a > 2)),
    "negated bool": (TypeError, lambda t, a, c, q: -(a > 1)),
    "histogram range": (ValueError, lambda t, a, c, q: t.histc(3, 1, 1)),
    "quantile": (ValueError, lambda t, a, c, q: t.quantile(1.5)),
    "expand": (ValueError, lambda t, a, c, q: t.expand(-1, 3)),
    "clamp": (ValueError, lambda t, a, c, q: t.clamp()),
    "transpose of a cube": (ValueError, lambda t, a, c, q: q.T),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_would_refuse_is_refused_before_any_send(name: str) -> None:
    kind, formula = REFUSED[name]
    with pytest.raises(kind):
        formula(*(remote(key) for key in VALUES))


def test_a_number_may_be_combined_with_a_known_number_of_rows() -> None:
    value = remote("table", rows=5).reshape(2, 5)
    assert value.shape == (2, 5)
    assert len(remote("table", rows=5)) == 5


def test_expressions_print_without_values_and_serve_as_keys() -> None:
    value = remote("table")
    assert repr(value) == "<Expression float64[ward, 2]>"
    assert {value: 1}[value] == 1


def test_a_mask_is_foreseen_at_its_largest() -> None:
    plan, _ = to_plan(remote("table")[remote("ages") > 30])
    found = propagate(plan, {"N0": 11})
    assert found.shape(plan.outputs[0].ref) == (11, 2)


def test_variance_of_one_row_is_not_a_number_as_in_torch() -> None:
    plan, fed = to_plan(remote("table").var(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run(plan, dict.fromkeys(fed, TABLE[:1]))["output"]
    assert bool(result.isnan().all())
    assert isinstance(plan.steps[0].args[0], Ref)
