"""One suite for every implementation of the kernels, against Python integers and against each other."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.ring import RingArray, pack_bits, packed_bytes, unpack_bits

IMPLEMENTATIONS: dict[str, Kernels] = {"reference": reference, "cpu": cpu}
EXTREMES = [0, 1, 2**63, 2**63 - 1, 2**64 - 1, 2**64 - 2, 2**32, 2**32 - 1]


@pytest.fixture(params=IMPLEMENTATIONS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return IMPLEMENTATIONS[request.param]


def words(rng: np.random.Generator, *shape: int) -> RingArray:
    return rng.integers(0, 2**64, shape, dtype=np.uint64)


def split(value: RingArray, parties: int, rng: np.random.Generator) -> list[RingArray]:
    parts = [words(rng, *value.shape) for _ in range(parties - 1)]
    return [*parts, value - np.sum(parts, axis=0, dtype=np.uint64)] if parts else [value]


@pytest.mark.parametrize(
    ("ring_bits", "parties"), [(8, 2), (8, 3), (8, 4), (8, 5), (9, 2), (9, 5), (10, 2), (11, 2)]
)
def test_every_value_and_every_mask_truncates_to_the_floor_or_one_above(
    kernels: Kernels, ring_bits: int, parties: int
) -> None:
    shift, modulus = 3, 1 << ring_bits
    reach = 1 << (ring_bits - 2)
    y = np.arange(-reach + 1, reach, dtype=np.int64).repeat(modulus)
    r = np.tile(np.arange(modulus, dtype=np.uint64), 2 * reach - 1)
    opened = (y.view(np.uint64) + np.uint64(reach) + r) % np.uint64(modulus)
    rng = np.random.default_rng(ring_bits)
    highs = split(r >> np.uint64(shift), parties, rng)
    carries = split(r >> np.uint64(ring_bits - 1), parties, rng)
    total = np.zeros_like(r)
    for party in range(parties):
        public, coefficient, share = kernels.truncate(
            opened, highs[party], carries[party], shift, party == 0, ring_bits
        )
        total += share
        exact = public - (r >> np.uint64(shift)) + coefficient * (r >> np.uint64(ring_bits - 1))
    assert np.array_equal(total % np.uint64(modulus), exact % np.uint64(modulus))
    low = np.uint64((1 << shift) - 1)
    coin = (opened & low) < (r & low)
    expected = (y >> shift) + coin
    assert np.array_equal(total % np.uint64(modulus), expected.view(np.uint64) % np.uint64(modulus))


@settings(max_examples=200)
@given(st.integers(-(2**62) + 1, 2**62 - 1), st.integers(0, 2**64 - 1), st.sampled_from([1, 12, 16, 18, 30]))
def test_the_full_ring_truncates_extremes(y: int, r: int, shift: int) -> None:
    for kernels in IMPLEMENTATIONS.values():
        opened = np.array([(y + 2**62 + r) % 2**64], dtype=np.uint64)
        high, carry = np.array([r >> shift], dtype=np.uint64), np.array([r >> 63], dtype=np.uint64)
        _, _, share = kernels.truncate(opened, high, carry, shift, True, 64)
        assert int(share.view(np.int64)[0]) - (y >> shift) in (0, 1)


@pytest.mark.parametrize("y", [2**62 - 1, -(2**62) + 1, 0, -1, 1])
@pytest.mark.parametrize("r", [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 2**62, 3 * 2**62])
def test_wrap_points_truncate_without_a_wrap(kernels: Kernels, y: int, r: int) -> None:
    opened = np.array([(y + 2**62 + r) % 2**64], dtype=np.uint64)
    high, carry = np.array([r >> 16], dtype=np.uint64), np.array([r >> 63], dtype=np.uint64)
    _, _, share = kernels.truncate(opened, high, carry, 16, True, 64)
    assert int(share.view(np.int64)[0]) - (y >> 16) in (0, 1)


@pytest.mark.parametrize("size", range(1, 7))
def test_every_block_compares_with_every_shared_block(kernels: Kernels, size: int) -> None:
    pairs = np.array(list(product(range(1 << size), repeat=2)), dtype=np.uint64)
    public, hidden = pairs[:, 0] << np.uint64(5), pairs[:, 1]
    rng = np.random.default_rng(size)
    table = np.uint64(1) << hidden
    mask = words(rng, table.size) & np.uint64((1 << (1 << size)) - 1)
    parts = [mask, table ^ mask]
    found = [kernels.look_up(public, [part], [5], [size]) for part in parts]
    less, equal = found[0][0] ^ found[1][0], found[0][1] ^ found[1][1]
    assert np.array_equal(unpack_bits(less[0], table.size), pairs[:, 0] < hidden)
    assert np.array_equal(unpack_bits(equal[0], table.size), pairs[:, 0] == hidden)


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_look_ups_agree_word_for_word_on_any_tables(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    public = words(rng, count)
    tables = [words(rng, count).astype(f"uint{max(8, 1 << size)}") for size in (6, 5, 4, 3)]
    place = ([12, 7, 3, 0], [6, 5, 4, 3])
    ours, theirs = (kernels.look_up(public, tables, *place) for kernels in (cpu, reference))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@given(st.integers(1, 6), st.integers(0, 2**32))
def test_expansions_agree_byte_for_byte(variables: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    opened = rng.integers(0, 256, (variables, 5), dtype=np.uint8)
    basis = rng.integers(0, 256, (4, 5), dtype=np.uint8)
    rows = rng.integers(0, 4, 9)
    factors = rng.integers(0, 1 << variables, 9)
    assert np.array_equal(
        cpu.expand(opened, basis, rows, factors), reference.expand(opened, basis, rows, factors)
    )


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("bit", [0, 1])
def test_a_selection_keeps_the_value_where_the_bit_differs_from_the_flip(
    kernels: Kernels, bit: int, flip: bool
) -> None:
    rng = np.random.default_rng(5)
    value, mask = words(rng, 20), words(rng, 20)
    beta = np.full(20, bit, dtype=np.uint64)
    flips = pack_bits(np.full(20, flip))
    total = np.zeros_like(value)
    shares, betas = split(value, 2, rng), split(beta, 2, rng)
    hidden = split(beta * mask, 2, rng)
    for party in range(2):
        total += kernels.select(shares[party], value + mask, betas[party], hidden[party], flips)
    assert np.array_equal(total, value * np.uint64(bool(bit) == flip))


@given(st.integers(1, 30), st.integers(0, 2**32))
def test_selections_agree_word_for_word(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [words(rng, count) for _ in range(4)]
    flips = rng.integers(0, 256, packed_bytes(count), dtype=np.uint8)
    assert np.array_equal(cpu.select(*arrays, flips), reference.select(*arrays, flips))
