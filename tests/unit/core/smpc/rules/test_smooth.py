"""Functions that flatten out, over the whole declared range, where their roundings show and where not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from gridward.core.smpc.correlations import slot_bytes
from gridward.core.smpc.costs import openings
from gridward.core.smpc.gate import LookUp, Piecewise
from tests.support.curves import END, ULP, dense, run_behind

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "sigmoid": (torch.sigmoid, 2.7e-5),
    "tanh": (torch.tanh, 5.1e-5),
    "erf": (torch.erf, 1.8e-5),
    "gelu": (gelu, 5.3e-5),
    "gelu by tanh": (lambda x: gelu(x, approximate="tanh"), 5.3e-5),
}


@pytest.mark.parametrize("shows", [True, False], ids=["shows", "behind a product"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bounds_hold_over_the_declared_range(name: str, shows: bool) -> None:
    function, bound = FUNCTIONS[name]
    for reach in (4.0, 20.0, END - 1):
        x = dense(reach, 600)
        found, _ = run_behind(function, x, shows)
        # one rounding of the result; behind a product, one more
        assert float((found - function(x)).abs().max()) < bound + (1 if shows else 2) * ULP


@pytest.mark.parametrize(("parties", "levels"), [(2, 1), (3, 2), (4, 1), (5, 2)])
@pytest.mark.parametrize("shows", [True, False])
def test_any_number_of_parties_reads_alike(parties: int, levels: int, shows: bool) -> None:
    x = dense(20.0, 20)
    for name in ("sigmoid", "gelu"):
        function, bound = FUNCTIONS[name]
        found, _ = run_behind(function, x, shows, parties=parties, levels=levels)
        assert float((found - function(x)).abs().max()) < bound + 2 * ULP


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_odd_batches_are_read(count: int) -> None:
    x = dense(12.0, 60)[:count, :3]
    assert float((run_behind(torch.tanh, x, False)[0] - torch.tanh(x)).abs().max()) < 9e-5


def test_a_batch_of_one_is_read() -> None:
    x = torch.tensor([[-0.75]], dtype=torch.float64)
    assert float(run_behind(torch.sigmoid, x.expand(2, 1)[:1])[0]) == pytest.approx(0.320821, abs=5e-5)


@pytest.mark.parametrize(
    ("fraction_bits", "width"), [(6, 12), (8, 20), (10, 24), (12, 16), (20, 38), (24, 34)]
)
def test_other_scales_keep_their_accuracy(fraction_bits: int, width: int) -> None:
    reach = 2.0 ** (width - 1 - fraction_bits) * (1 - 2.0**-10)
    x = torch.linspace(-reach, reach, 400, dtype=torch.float64).reshape(100, 4)
    x = torch.round(x * 2**fraction_bits) / 2**fraction_bits
    for name in ("sigmoid", "gelu"):
        function, bound = FUNCTIONS[name]
        found, _ = run_behind(function, x, fraction_bits=fraction_bits, width=width)
        assert float((found - function(x)).abs().max()) < bound + 1.5 * 2.0**-fraction_bits


def test_silu_is_a_product_with_a_sigmoid() -> None:
    x = dense(20.0, 50)[:-2]
    found, _ = run_behind(silu, x)
    assert float(((found - silu(x)).abs() - x.abs() * 4.3e-5).max()) < 2 * ULP


def test_a_function_whose_roundings_show_is_a_function_of_its_argument() -> None:
    # without a coin, equal arguments give equal results under any masks
    x = torch.full((300, 4), 0.7310943603515625, dtype=torch.float64)
    shown, program = run_behind(torch.sigmoid, x, True)
    assert len(shown.unique()) == 1
    (read,) = [gate for gate in program.gates if isinstance(gate, LookUp)]
    assert len(read.sources) == 2
    hidden, program = run_behind(torch.sigmoid, x, False)
    assert len(hidden.unique()) > 1
    (read,) = [gate for gate in program.gates if isinstance(gate, LookUp)]
    assert len(read.sources) == 1


def test_a_sigmoid_costs_what_is_said() -> None:
    _, program = run_behind(torch.sigmoid, dense(9.0, 64), False)
    elements = 64 * 4
    gates = {type(gate): (at, gate) for at, gate in enumerate(program.gates)}
    online, dealer = {}, {}
    for kind in (Piecewise, LookUp):
        at, gate = gates[kind]
        sizes = {slot.name: slot_bytes(slot) / elements for slot in program.manifest if slot.gate == at}
        online[kind] = [size / elements for size in openings(gate, program.registers)]
        dealer[kind] = sum(
            sizes[slot.name] for slot in program.manifest if slot.gate == at and slot.corrected
        )
    # two thresholds: 12 and 4 bits of two merging levels, and the sign; then 21 bits in 4 bytes, and 29 read
    assert online == {Piecewise: [2 * 12 / 8, 2 * 4 / 8, 2 / 8], LookUp: [4, 29 / 8]}
    # blocks and products of masks, a bit and its product with the mask a threshold, with a carry of 2 bytes
    assert dealer[Piecewise] == 16 + 2 * (6 / 8 + 8 + 8 + 2)
    # the one-hot, 18 and 11 bits, each with a word, the place in the cell, and its products with the slope
    assert dealer[LookUp] == 128 + 29 * 8 + 8 + 11 * 8
