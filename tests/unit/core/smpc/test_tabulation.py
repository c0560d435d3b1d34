"""Tables hold their bound for every argument, and for both lines that may serve it."""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gridward.core.smpc.curve import Curve
from gridward.core.smpc.ring import to_bytes
from gridward.core.smpc.rules.normal import mantissa_table
from gridward.core.smpc.tabulation import Table, Tabulation, tabulate

Reals = NDArray[np.float64]
Numbers = NDArray[np.int64]


def torch_of(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Reals], Reals]:
    return lambda x: np.asarray(function(torch.from_numpy(x)).numpy())


TRUTH: dict[Curve, Callable[[Reals], Reals]] = {
    Curve.SIGMOID: torch_of(torch.sigmoid),
    Curve.TANH: np.tanh,
    Curve.ERF: torch_of(torch.erf),
    Curve.GELU_LESS_HALF: torch_of(lambda x: torch.nn.functional.gelu(x) - x / 2),
    Curve.GELU_TANH_LESS_HALF: torch_of(lambda x: torch.nn.functional.gelu(x, approximate="tanh") - x / 2),
    Curve.EXP: np.exp,
    Curve.RECIPROCAL: lambda x: 1 / x,
    Curve.SQRT: np.sqrt,
    Curve.RSQRT: lambda x: 1 / np.sqrt(x),
    Curve.LOG: np.log,
}

BOUNDED = {
    Curve.SIGMOID: (Tabulation(Curve.SIGMOID, 16, -16 << 16, 10, 11, 0, 18), 2.7e-5),
    Curve.TANH: (Tabulation(Curve.TANH, 16, -8 << 16, 10, 10, 0, 18), 5.1e-5),
    Curve.ERF: (Tabulation(Curve.ERF, 16, -4 << 16, 10, 9, 0, 18), 1.8e-5),
    Curve.GELU_LESS_HALF: (Tabulation(Curve.GELU_LESS_HALF, 16, -8 << 16, 10, 10, 0, 18), 5.3e-5),
    Curve.GELU_TANH_LESS_HALF: (Tabulation(Curve.GELU_TANH_LESS_HALF, 16, -8 << 16, 10, 10, 0, 18), 5.3e-5),
    Curve.EXP: (Tabulation(Curve.EXP, 16, (2 << 10) - (16 << 16), 10, 10, 0, 18), 6.5e-5),
}
RELATIVE = {Curve.RECIPROCAL: 1.0e-5, Curve.SQRT: 6e-6, Curve.RSQRT: 6e-6}


def readings(wanted: Tabulation, table: Table, x: Numbers) -> Iterator[Reals]:
    """Give all that an argument may read: either of two lines and, where bits are not looked at, places."""
    cell, inner = np.divmod(x - wanted.low, 1 << wanted.shift)
    for coin in (0, 1):
        for above in (0, 1) if wanted.drop else (0,):
            place = ((inner - (coin << wanted.shift)) >> wanted.drop) + above
            slope = table.slopes[cell + coin] + table.slope
            start = (table.intercepts[cell + coin] + table.intercept) << (wanted.shift - wanted.drop)
            yield np.ldexp((start + slope * place).astype(np.float64), -wanted.out_scale)


@pytest.mark.parametrize("curve", BOUNDED)
def test_bounded_tables_hold_their_bound_for_every_argument(curve: Curve) -> None:
    wanted, bound = BOUNDED[curve]
    table = tabulate(wanted)
    x = np.arange(wanted.low, wanted.high + 1, dtype=np.int64)
    truth = TRUTH[curve](np.ldexp(x.astype(np.float64), -wanted.scale))
    worst = max(float(np.abs(found - truth).max()) for found in readings(wanted, table, x))
    assert bound / 3 < worst < bound


def mantissas() -> Numbers:
    """Give arguments of 32 fraction bits in [1/4, 1): the ends of every cell, and many between."""
    ends = np.arange(1 << 30, 1 << 32, 1 << 22, dtype=np.int64)
    near = np.concatenate([ends + step for step in (0, 1, (1 << 22) - 1)])
    return np.concatenate([near, np.random.default_rng(1).integers(1 << 30, 1 << 32, 500_000)])


@pytest.mark.parametrize("curve", RELATIVE)
def test_tables_of_mantissas_hold_their_relative_bound(curve: Curve) -> None:
    wanted, x = mantissa_table(curve, 32, 30), mantissas()
    truth = TRUTH[curve](np.ldexp(x.astype(np.float64), -32))
    worst = max(float(np.abs(found / truth - 1).max()) for found in readings(wanted, tabulate(wanted), x))
    assert RELATIVE[curve] / 3 < worst < RELATIVE[curve]


def test_the_table_of_logarithms_holds_its_bound() -> None:
    wanted, x = mantissa_table(Curve.LOG, 32, 30), mantissas()
    truth = np.log(np.ldexp(x.astype(np.float64), -32))
    worst = max(float(np.abs(found - truth).max()) for found in readings(wanted, tabulate(wanted), x))
    assert 2e-6 < worst < 8e-6


def test_a_ratio_stretches_the_argument() -> None:
    plain, stretched = (mantissa_table(Curve.RSQRT, 32, 30, ratio) for ratio in ((1, 1), (4, 6)))
    x = mantissas()
    for one, other in zip(
        readings(plain, tabulate(plain), x), readings(stretched, tabulate(stretched), x), strict=True
    ):
        assert np.allclose(other, one * np.sqrt(6 / 4), rtol=1e-5)


@pytest.mark.parametrize("curve", BOUNDED)
def test_columns_are_the_bits_of_the_lines(curve: Curve) -> None:
    table = tabulate(BOUNDED[curve][0])
    bits = np.unpackbits(table.columns.view(np.uint8), axis=-1, bitorder="little").astype(np.int64)
    weights = 1 << np.arange(len(bits))
    split = table.intercept_bits
    assert np.array_equal(weights[:split] @ bits[:split], table.intercepts)
    assert np.array_equal(weights[: table.slope_bits] @ bits[split:], table.slopes)


def test_tables_are_frozen_to_the_bit() -> None:
    # parties make them for themselves: a table that differs by one bit on some machine would end every query
    found = {
        curve.value: hashlib.sha256(to_bytes(tabulate(wanted).columns)).hexdigest()[:12]
        for curve, (wanted, _) in BOUNDED.items()
    }
    assert found == {
        "sigmoid": "c9f3e089080a",
        "tanh": "14369f7c9b7e",
        "erf": "16712daedc0e",
        "gelu less half": "c133044824ca",
        "gelu by tanh less half": "a7914884d7ef",
        "exp": "c772bafd42ee",
    }
