import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.smpc.gate import Convolution, SumPool, Windows
from gridward.core.smpc.geometry import (
    convolution_gather,
    every_window_has_a_value,
    padded,
    sum_pool,
    window_count,
    windows,
)
from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.ring import RingArray

sizes = st.integers(1, 9)


def image(seed: int, *shape: int) -> RingArray:
    rng = np.random.default_rng(seed)
    return rng.integers(-100, 100, shape, dtype=np.int64).view(np.uint64)


def as_torch(words: RingArray) -> torch.Tensor:
    return torch.from_numpy(words.view(np.int64).astype(np.float64))


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
@settings(max_examples=60)
@given(
    rows=sizes,
    columns=sizes,
    kernel=st.tuples(*[st.integers(1, 3)] * 2),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
)
def test_convolution_by_gathered_columns_is_torchs(
    rows: int,
    columns: int,
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    kernels: Kernels,
) -> None:
    out = tuple(
        window_count(size, k, stride, padding, dilation)
        for size, k in zip((rows, columns), kernel, strict=True)
    )
    if min(out) < 1:
        return
    for groups in (1, 2):
        words, weight = image(1, 2, 4, rows, columns), image(2, 6, 4 // groups, *kernel)
        gate = Convolution((0,), 1, 0, (stride,) * 2, (padding,) * 2, (dilation,) * 2, groups)
        gather = convolution_gather(words.shape, gate, kernel, (2, 6, *out))
        got = np.zeros((2, 6, *out), dtype=np.uint64)
        fixed = kernels.fix(weight.reshape(groups, 6 // groups, -1))
        kernels.multiply(fixed, padded(words, gate.padding).reshape(-1), gather, got.reshape(-1))
        expected = torch.conv2d(
            as_torch(words), as_torch(weight), None, stride, padding, dilation, groups
        ).numpy()
        assert np.array_equal(got.view(np.int64), expected.astype(np.int64))


@settings(max_examples=60)
@given(
    sizes, sizes, st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(1, 2), st.booleans()
)
def test_the_largest_of_a_windows_candidates_is_torchs_max_pool(
    rows: int, columns: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> None:
    out = [window_count(size, kernel, stride, padding, dilation, ceil_mode) for size in (rows, columns)]
    if min(out) < 1 or padding > kernel // 2:
        return
    words = image(3, 2, 3, rows, columns)
    expected = torch.max_pool2d(as_torch(words), kernel, stride, padding, dilation, ceil_mode).numpy()
    full = [
        every_window_has_a_value(size, kernel, stride, padding, dilation, count)
        for size, count in zip((rows, columns), out, strict=True)
    ]
    assert all(full) == bool(np.isfinite(expected).all())
    if not all(full):
        return
    gate = Windows((0,), 1, (kernel,) * 2, (stride,) * 2, (padding,) * 2, (dilation,) * 2)
    got = windows(words, gate, (out[0], out[1])).view(np.int64).max(axis=0)
    assert np.array_equal(got, expected.astype(np.int64))


@settings(max_examples=40)
@given(sizes, sizes, st.integers(1, 3), st.integers(1, 3), st.integers(0, 1))
def test_sums_of_windows_are_torchs_averages_times_their_size(
    rows: int, columns: int, kernel: int, stride: int, padding: int
) -> None:
    out = [window_count(size, kernel, stride, padding, 1) for size in (rows, columns)]
    if min(out) < 1 or padding > kernel // 2:
        return
    words = image(4, 2, 3, rows, columns)
    gate = SumPool((0,), 1, (kernel,) * 2, (stride,) * 2, (padding,) * 2)
    got = sum_pool(words, gate, (out[0], out[1])).view(np.int64)
    expected = torch.nn.functional.avg_pool2d(as_torch(words), kernel, stride, padding, divisor_override=1)
    assert np.array_equal(got, np.rint(expected.numpy()).astype(np.int64))


@pytest.mark.parametrize(("size", "kernel", "expected"), [(5, 2, 2), (5, 6, 0), (1, 1, 1)])
def test_windows_are_counted(size: int, kernel: int, expected: int) -> None:
    assert window_count(size, kernel, 2, 0, 1) == expected
