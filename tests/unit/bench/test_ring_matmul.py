import numpy as np
import pytest

from gridward.bench import ring_matmul
from gridward.bench.measure import WrongResultError
from gridward.bench.ring_matmul import SHAPES, Shape
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.ring import RingArray


@pytest.mark.parametrize("transposed", [False, True])
def test_a_shape_is_measured_in_three_ways(transposed: bool) -> None:
    shape = Shape("small", 3, 17, 5, transposed)
    left, right = shape.operands(np.random.default_rng(1))
    assert (left.shape, right.shape, right.flags.c_contiguous) == ((3, 17), (17, 5), not transposed)
    result = ring_matmul.measure_shape(shape, left, right, repeat=2, threads=1)
    assert result.case == {"layer": "small", "m": 3, "k": 17, "n": 5, "torch_threads": 1}
    for name in ("kernel", "torch", "numpy"):
        median = result.measured[f"{name}_s"]["median"]
        assert result.measured[f"{name}_gmac_per_s"] == pytest.approx(3 * 17 * 5 / median / 1e9)


def test_a_kernel_that_is_off_by_one_word_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right_one = cpu.matmul

    def wrong(a: RingArray, b: RingArray) -> RingArray:
        out = right_one(a, b)
        out[-1, -1] += np.uint64(1)
        return out

    monkeypatch.setattr(ring_matmul.cpu, "matmul", wrong)
    shape = Shape("small", 2, 3, 4)
    with pytest.raises(WrongResultError, match="small: torch gives another product than kernel"):
        ring_matmul.measure_shape(shape, *shape.operands(np.random.default_rng(1)), repeat=1, threads=1)


def test_the_shapes_of_lenet_hold_its_multiplications() -> None:
    lenet = sum(shape.m * shape.k * shape.n for shape in SHAPES if shape.layer.startswith("lenet"))
    assert lenet == 2_293_000
