from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gridward.core.smpc.gate import Convolution, Matmul
from gridward.core.smpc.gates.linear import add_product
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.operands import Product, Weights
from gridward.core.smpc.ring import RingArray

TURNED = Matmul((0,), 1, weight=0, transposed=True)
STRAIGHT = Matmul((0,), 1, weight=0, transposed=False)
GROUPED = Convolution((0,), 1, weight=0, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=2)


def drawn(*shape: int) -> RingArray:
    return np.random.default_rng(1).integers(0, 2**64, shape, dtype=np.uint64)


@pytest.mark.parametrize(
    ("gate", "weight"),
    [(TURNED, drawn(40, 70)), (STRAIGHT, drawn(70, 40)), (GROUPED, drawn(6, 3, 2, 5))],
    ids=["turned", "straight", "grouped"],
)
def test_a_weight_reads_back_from_what_a_product_made_of_it(gate: Product, weight: RingArray) -> None:
    weights = Weights({0: weight.copy(), 3: drawn(2)})
    fixed = weights.fixed(gate, cpu)
    assert weights.fixed(gate, cpu) is fixed
    assert repr(weights) == "Weights(1 as words, 1 as operands)"
    assert weights.numbers == {0, 3}
    assert np.array_equal(weights.words(0), weight)
    assert np.array_equal(weights.words(3), drawn(2))


def test_two_layouts_of_one_weight_are_made_of_each_other() -> None:
    weight, x = drawn(50, 50), drawn(3, 50)
    weights = Weights({0: weight.copy()})
    for gate, matrix in ((STRAIGHT, weight), (TURNED, weight.T)):
        out = np.zeros((3, 50), dtype=np.uint64)
        add_product(gate, x, weights.fixed(gate, cpu), out, cpu)
        assert np.array_equal(out, x @ matrix)


def test_many_threads_prepare_a_weight_once() -> None:
    weights = Weights({0: drawn(70, 40)})
    with ThreadPoolExecutor(8) as threads:
        prepared = threads.map(lambda _: id(weights.fixed(STRAIGHT, cpu)), range(64))
        assert len(set(prepared)) == 1
