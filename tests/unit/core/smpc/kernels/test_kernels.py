"""One suite for every implementation of the kernels, against Python integers and against each other."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels, Merging, Places
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
        public, unwrapped, share = kernels.truncate(
            opened, highs[party], carries[party], shift, party == 0, ring_bits
        )
        total += share
        coefficient = unwrapped.astype(np.uint64) << np.uint64(ring_bits - shift)
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


def places(*values: int) -> Places:
    return np.array(values, dtype=np.int64)


def narrowest(size: int) -> str:
    return f"uint{max(8, 1 << size)}"


@pytest.mark.parametrize("size", range(1, 7))
def test_every_block_compares_with_every_shared_block(kernels: Kernels, size: int) -> None:
    pairs = np.array(list(product(range(1 << size), repeat=2)), dtype=np.uint64)
    public, hidden = pairs[:, 0] << np.uint64(5), np.ascontiguousarray(pairs[:, 1])
    rng = np.random.default_rng(size)
    mask = words(rng, hidden.size).astype(narrowest(size))
    other = mask.copy()
    kernels.set_blocks(hidden, places(0), places(size), [other])
    less, equal = kernels.look_up(public, [mask], places(5), places(size)) ^ kernels.look_up(
        public, [other], places(5), places(size)
    )
    assert np.array_equal(unpack_bits(less, hidden.size), pairs[:, 0] < hidden)
    assert np.array_equal(unpack_bits(equal, hidden.size), pairs[:, 0] == hidden)


counts = st.one_of(st.integers(1, 20), st.integers(60, 70), st.integers(120, 200))


@given(counts, st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 2**32))
def test_look_ups_agree_word_for_word_on_any_tables(count: int, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    public = words(rng, count)
    tables = [words(rng, count).astype(narrowest(size)) for size in sizes]
    lows = places(*rng.integers(0, 58, len(sizes)))
    ours, theirs = (kernels.look_up(public, tables, lows, places(*sizes)) for kernels in (cpu, reference))
    assert np.array_equal(ours, theirs)


@given(counts, st.integers(1, 6), st.integers(0, 2**32))
def test_levels_are_hidden_and_merged_alike(count: int, variables: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits, basis, opened = (
        rng.integers(0, 256, (rows, packed_bytes(count)), dtype=np.uint8) for rows in (6, 9, variables)
    )
    layout = Merging(
        rng.integers(0, 6, variables),
        rng.integers(0, 9, variables),
        rng.integers(0, 6, 3),
        rng.integers(0, 9, 12),
        rng.integers(0, 1 << variables, 12),
        rng.integers(0, 6, 12),
    )
    assert np.array_equal(cpu.hide(bits, layout, basis), reference.hide(bits, layout, basis))
    assert np.array_equal(
        cpu.merge(opened, layout, basis, bits), reference.merge(opened, layout, basis, bits)
    )


def test_long_rows_merge_alike_over_the_edges_of_chunks() -> None:
    rng = np.random.default_rng(6)
    bits, basis, opened = (rng.integers(0, 256, (3, 9001), dtype=np.uint8) for _ in range(3))
    layout = Merging(*(places(0, 2, 1) for _ in range(4)), places(3, 0, 5), places(0, 1, 3))
    assert np.array_equal(
        cpu.merge(opened, layout, basis, bits), reference.merge(opened, layout, basis, bits)
    )


@given(counts, st.integers(0, 63), st.integers(0, 2**32))
def test_one_bit_of_every_word_is_packed_in_order(count: int, bit: int, seed: int) -> None:
    public = words(np.random.default_rng(seed), count)
    exact = pack_bits((public >> np.uint64(bit) & np.uint64(1)).astype(np.bool_))
    assert np.array_equal(cpu.pack_bit(public, bit), exact)
    assert np.array_equal(reference.pack_bit(public, bit), exact)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("bit", [0, 1])
def test_a_selection_keeps_the_value_where_the_bit_differs_from_the_flip(
    kernels: Kernels, bit: int, flip: bool
) -> None:
    rng = np.random.default_rng(5)
    value, mask, coefficient, carry = (words(rng, 20) for _ in range(4))
    beta = np.full(20, bit, dtype=np.uint64)
    flips = pack_bits(np.full(20, flip))
    total = np.zeros_like(value)
    shares, betas = split(value, 2, rng), split(beta, 2, rng)
    hidden, carries = split(beta * mask, 2, rng), split(beta * carry, 2, rng)
    public = value + mask - coefficient * carry
    for party in range(2):
        carried = (coefficient, carries[party])
        total += kernels.select(shares[party], public, betas[party], hidden[party], flips, carried)
    assert np.array_equal(total, value * np.uint64(bool(bit) == flip))


carry_types = st.sampled_from(["uint8", "uint16", "uint32", "uint64"])


@given(counts, st.booleans(), carry_types, st.integers(0, 2**32))
def test_selections_agree_word_for_word(count: int, with_carry: bool, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [words(rng, count) for _ in range(4)]
    flips = rng.integers(0, 256, packed_bytes(count), dtype=np.uint8)
    carried = (words(rng, count), words(rng, count).astype(dtype)) if with_carry else None
    ours, theirs = (kernels.select(*arrays, flips, carried) for kernels in (cpu, reference))
    assert np.array_equal(ours, theirs)


@given(st.integers(1, 5), st.integers(1, 40), st.booleans(), carry_types, st.integers(0, 2**32))
def test_the_larger_of_neighbours_is_selected_alike(
    pairs: int, count: int, with_carry: bool, dtype: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    share = words(rng, pairs, 2, count)
    arrays = [words(rng, pairs, count) for _ in range(3)]
    flips = rng.integers(0, 256, packed_bytes(pairs * count), dtype=np.uint8)
    carries = [words(rng, pairs, count).astype(dtype) for _ in range(2)]
    carried = (words(rng, pairs, 2, count), carries[0], carries[1]) if with_carry else None
    ours, theirs = (kernels.larger(share, *arrays, flips, carried) for kernels in (cpu, reference))
    assert np.array_equal(ours, theirs)


@given(counts, st.integers(1, 62), st.booleans(), carry_types, st.integers(0, 2**32))
def test_truncations_agree_word_for_word(count: int, shift: int, first: bool, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    opened, high, carry = words(rng, count), words(rng, count), words(rng, count).astype(dtype)
    ours, theirs = (kernels.truncate(opened, high, carry, shift, first, 64) for kernels in (cpu, reference))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("offset", [0, 2**62, 2**64 - 1])
def test_masks_are_added_with_an_offset(kernels: Kernels, offset: int) -> None:
    rng = np.random.default_rng(7)
    share, mask = words(rng, 3, 5), words(rng, 3, 5)
    exact = (share.astype(object) + mask.astype(object) + offset) % 2**64
    assert np.array_equal(kernels.add_mask(share, mask, offset).astype(object), exact)


@given(counts, st.integers(0, 63), carry_types, st.integers(0, 2**32))
def test_dealt_selections_are_what_is_missing(count: int, top: int, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rho = words(rng, count)
    flips = rng.integers(0, 256, packed_bytes(count), dtype=np.uint8)
    carry = rng.integers(0, 2, count, dtype=np.uint8)
    drawn = words(rng, count), words(rng, count), words(rng, count).astype(dtype)
    bits = unpack_bits(flips, count) ^ ((rho >> np.uint64(top)) & np.uint64(1)).astype(np.bool_)
    for kernels in IMPLEMENTATIONS.values():
        beta, beta_mask, part = (array.copy() for array in drawn)
        signs = kernels.set_selection(rho, top, flips, beta, beta_mask)
        kernels.set_carry(signs, carry, part)
        assert np.array_equal(signs, bits)
        assert np.array_equal(beta + drawn[0], bits)
        assert np.array_equal(beta_mask + drawn[1], bits * rho)
        assert np.array_equal(part + drawn[2], bits & carry)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_the_upper_bits_of_a_mask_are_its_quotient_and_its_top_bit(kernels: Kernels, dtype: str) -> None:
    mask = np.array([0, 2**63, 2**64 - 1, 2**16], dtype=np.uint64)
    rng = np.random.default_rng(8)
    drawn = words(rng, 4), words(rng, 4).astype(dtype)
    high, carry = drawn[0].copy(), drawn[1].copy()
    upper, top = kernels.set_truncation(mask, 16, high, carry)
    assert upper.tolist() == (high + drawn[0]).tolist() == [0, 2**47, 2**48 - 1, 1]
    assert top.tolist() == (carry + drawn[1]).tolist() == [0, 1, 1, 0]


@given(
    st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=40),
    st.floats(1e-6, 1e6),
    st.integers(1, 2**31 - 1),
    st.sampled_from([np.float32, np.float64]),
)
def test_quantised_values_less_a_mask_are_the_same_words_everywhere(
    values: list[float], factor: float, limit: int, dtype: type[np.floating]
) -> None:
    given_ = np.array([*values, 0.5, 1.5, -2.5], dtype=dtype)
    masks = words(np.random.default_rng(len(values)), given_.size).astype(np.uint32)
    wanted = [
        (max(-limit, min(limit, round(float(value) * factor))) - int(mask)) % 2**32
        for value, mask in zip(given_, masks, strict=True)
    ]
    for kernels in IMPLEMENTATIONS.values():
        masked = masks.copy()
        kernels.quantise_less(given_, factor, limit, masked)
        assert masked.tolist() == wanted
        kernels.add_short(masked, masks)
        assert masked.tolist() == [(one + int(mask)) % 2**32 for one, mask in zip(wanted, masks, strict=True)]
