"""Functions of many scales, for arguments of every magnitude in the declared range."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from gridward.core.errors import PlanRejectedError
from gridward.core.smpc.gate import LookUp, Piecewise
from tests.support.curves import END, ULP, dense, positive, run_behind

STOP = END * (1 - 2.0**-12)


def stopped(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x).clamp(-STOP, STOP)


POSITIVE: dict[str, tuple[Callable[[Tensor], Tensor], float, float]] = {
    # name, function, relative and absolute bound
    "sqrt": (torch.sqrt, 6e-6, 0.0),
    "rsqrt": (torch.rsqrt, 6e-6, 0.0),
    "log": (torch.log, 0.0, 8e-6),
    "log1p": (torch.log1p, 0.0, 8e-6),
    "reciprocal": (torch.reciprocal, 1e-5, 0.0),
}


def assert_within(found: Tensor, truth: Tensor, relative: float, absolute: float) -> None:
    excess = (found - truth).abs() - relative * truth.abs() - absolute
    assert float(excess.max()) <= 0


@pytest.mark.parametrize("shows", [True, False], ids=["shows", "behind a product"])
@pytest.mark.parametrize("name", POSITIVE)
def test_positive_arguments_of_all_magnitudes_keep_the_bound(name: str, shows: bool) -> None:
    function, relative, absolute = POSITIVE[name]
    x = positive(400)
    if name == "reciprocal":
        x = x.clamp(min=3 * ULP)
    found, _ = run_behind(function, x, shows)
    assert_within(found, function(x), relative, absolute + (1 if shows else 2) * ULP)


@pytest.mark.parametrize("shows", [True, False], ids=["shows", "behind a product"])
def test_reciprocals_of_both_signs_stop_within_the_range(shows: bool) -> None:
    x = dense(END - 1, 300)
    found, _ = run_behind(torch.reciprocal, x, shows)
    wanted = torch.where(x == 0, torch.tensor(STOP, dtype=x.dtype), stopped(torch.reciprocal)(x))
    assert_within(found, wanted, 1e-5, 2 * ULP)
    assert float(found.abs().max()) < END


@pytest.mark.parametrize("shows", [True, False], ids=["shows", "behind a product"])
def test_exponentials_stop_within_the_range(shows: bool) -> None:
    for reach in (12.0, END - 1):
        x = dense(reach, 400)
        found, _ = run_behind(torch.exp, x, shows)
        assert_within(found, stopped(torch.exp)(x), 2.5e-5, 2 * ULP)
        assert float(found.min()) >= 0 and float(found.max()) < END


@pytest.mark.parametrize(
    ("function", "wanted"),
    [(torch.sqrt, 0.0), (torch.rsqrt, 256.0), (torch.log, -16 * float(np.log(2)))],
)
def test_what_is_not_positive_has_a_stated_result(
    function: Callable[[Tensor], Tensor], wanted: float
) -> None:
    x = torch.tensor([[0.0, -ULP], [-1.0, -END + ULP]], dtype=torch.float64)
    found, _ = run_behind(function, x)
    assert torch.allclose(found, torch.full_like(x, wanted), rtol=1e-5, atol=2 * ULP)


@pytest.mark.parametrize("shows", [True, False], ids=["shows", "behind a product"])
def test_quotients_of_two_values_keep_the_bound(shows: bool) -> None:
    above = dense(90.0, 300)[:-2]
    below = dense(END - 1, 300, seed=2)[:-2]
    fits = (below != 0) & ((above / below).abs() < STOP) & (below.abs() > 2 * ULP)
    below = torch.where(fits, below, torch.ones_like(below))
    x = torch.stack([above, below], dim=2).reshape(len(above), -1)

    def quotient(x: Tensor) -> Tensor:
        return torch.cat([x[:, 0::2] / x[:, 1::2], x[:, 1::2]], dim=1)

    found, _ = run_behind(quotient, x, shows)
    truth = quotient(x)
    columns = above.shape[1]
    assert_within(found[:, :columns], truth[:, :columns], 1e-5, (2 + 90 * 2.0**-14) * ULP)


@pytest.mark.parametrize(("parties", "levels"), [(2, 1), (3, 2), (4, 1), (5, 2)])
@pytest.mark.parametrize("name", ["rsqrt", "log", "reciprocal"])
def test_any_number_of_parties_computes_alike(name: str, parties: int, levels: int) -> None:
    function, relative, absolute = POSITIVE[name]
    x = positive(40)[:20].clamp(min=3 * ULP)
    found, _ = run_behind(function, x, False, parties=parties, levels=levels)
    assert_within(found, function(x), relative, absolute + 2 * ULP)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 1)])
def test_odd_shapes_are_computed(shape: tuple[int, int]) -> None:
    x = positive(40).reshape(-1)[: shape[0] * shape[1]].reshape(shape)
    for name in ("sqrt", "log"):
        function, relative, absolute = POSITIVE[name]
        found, _ = run_behind(function, x, False)
        assert_within(found, function(x), relative, absolute + 2 * ULP)


@pytest.mark.parametrize(("fraction_bits", "width"), [(15, 30), (17, 31), (12, 24), (10, 20)])
def test_other_scales_keep_the_bound(fraction_bits: int, width: int) -> None:
    ulp, end = 2.0**-fraction_bits, 2.0 ** (width - 1 - fraction_bits)
    x = torch.from_numpy(
        2.0 ** np.random.default_rng(1).uniform(-fraction_bits, width - 1.1 - fraction_bits, 400)
    )
    x = (torch.floor(x / ulp) * ulp).clamp(min=ulp).reshape(100, 4)
    for name in ("sqrt", "rsqrt", "log"):
        function, relative, absolute = POSITIVE[name]
        found, _ = run_behind(function, x, fraction_bits=fraction_bits, width=width)
        fits = function(x).abs() < end
        assert_within(found[fits], function(x)[fits], 2 * relative, 2 * absolute + 1.5 * ulp)


def test_a_width_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(PlanRejectedError, match="too little room"):
        run_behind(torch.reciprocal, positive(20), fraction_bits=10, width=44)


def test_rounds_are_those_of_the_parts() -> None:
    # comparison and choice, table, one opening, the last truncation; then the layer behind
    _, program = run_behind(torch.rsqrt, positive(20), False)
    assert [type(gate) for gate in program.gates if isinstance(gate, Piecewise | LookUp)] == [
        Piecewise,
        LookUp,
    ]
    assert program.costs.rounds == (2 + 1) + 2 + 1 + 1 + (1 + 1 + 2 + 1)
