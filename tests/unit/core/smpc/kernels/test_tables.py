"""Kernels of look-ups in tables, against plain Python and against each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.ring import RingArray, pack_bits, packed_bytes, unpack_bits

IMPLEMENTATIONS: dict[str, Kernels] = {"reference": reference, "cpu": cpu}


@pytest.fixture(params=IMPLEMENTATIONS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return IMPLEMENTATIONS[request.param]


def words(rng: np.random.Generator, *shape: int) -> RingArray:
    return rng.integers(0, 2**64, shape, dtype=np.uint64)


@pytest.mark.parametrize("count", [1, 2, 4, 16])
def test_every_place_is_read_through_every_turn(kernels: Kernels, count: int) -> None:
    size = 64 * count
    rng = np.random.default_rng(count)
    columns = words(rng, 3, count)
    turns = np.array([0, 1, 2, 31, 62, 63, 64 % size, 65 % size, size - 1])
    wanted = np.tile(np.arange(size), turns.size)
    turn = turns.repeat(size)
    hot = np.zeros((wanted.size, count), dtype=np.uint64)
    held = (wanted - turn) % size
    hot[np.arange(wanted.size), held // 64] = np.uint64(1) << (held % 64).astype(np.uint64)
    other = words(rng, *hot.shape)
    parts = [kernels.read_table(part, turn.astype(np.uint64), columns) for part in (hot ^ other, other)]
    read = unpack_bits(parts[0] ^ parts[1], wanted.size)
    bits = [[int(column[place // 64]) >> place % 64 & 1 for place in range(size)] for column in columns]
    assert np.array_equal(read, np.array(bits, dtype=bool)[:, wanted])


@given(st.integers(1, 70), st.sampled_from([1, 2, 8]), st.integers(0, 2**32))
def test_tables_are_read_alike(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hot, columns = words(rng, count, size), words(rng, 5, size)
    places = words(rng, count) & np.uint64(64 * size - 1)
    columns.setflags(write=False)
    ours, theirs = (kernels.read_table(hot, places, columns) for kernels in (cpu, reference))
    assert ours.shape == (5, packed_bytes(count))
    assert np.array_equal(ours, theirs)


def test_bits_are_weighed_from_the_lowest(kernels: Kernels) -> None:
    opened = pack_bits(np.array([[True, False, True], [False, False, True]]))
    shares = np.array([[1, 2, 3], [10, 20, 30]], dtype=np.uint64)
    value = np.array([7, 8, 9], dtype=np.uint64)
    found = kernels.weigh_bits(opened, shares, value)
    assert found.view(np.int64).tolist() == [7 - 1 + 2 * 10, 2 + 2 * 20, 9 - 3 + 2 * (9 - 30)]


@given(st.integers(1, 30), st.integers(0, 12), st.integers(0, 2**32))
def test_bits_are_weighed_alike(count: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    opened = rng.integers(0, 256, (rows, packed_bytes(count)), dtype=np.uint8)
    shares, value = words(rng, rows, count), words(rng, count)
    ours, theirs = (kernels.weigh_bits(opened, shares, value) for kernels in (cpu, reference))
    assert np.array_equal(ours, theirs)


def test_a_masked_bit_keeps_what_it_multiplies(kernels: Kernels) -> None:
    # bit = flip ^ beta: the sum over parties of weigh_bits is bit * value, with shares of beta * value
    rng = np.random.default_rng(3)
    value, beta, flip = words(rng, 64), rng.integers(0, 2, 64), rng.integers(0, 2, 64)
    whole = value * beta.astype(np.uint64)
    value_part, product_part = words(rng, 64), words(rng, 64)
    opened = pack_bits(flip.astype(bool))[None]
    total = kernels.weigh_bits(opened, product_part[None], value_part)
    total = total + kernels.weigh_bits(opened, (whole - product_part)[None], value - value_part)
    assert np.array_equal(total, value * (flip ^ beta).astype(np.uint64))
