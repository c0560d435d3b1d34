"""Laws of sums of updates, without their envelopes: exact as integers, near as a mean, uniform in parts."""

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.errors import InvalidInputError, OutOfRangeError, ProtocolError
from gridward.core.smpc import secure_aggregation
from gridward.core.smpc.kernels.seam import ShortWords
from gridward.core.smpc.quantised import (
    Array,
    Slot,
    Terms,
    norm_of,
    read,
    words_of,
)
from gridward.core.smpc.secure_aggregation import Contribution, add_up, share_of

SLOTS = (
    Slot("weight", True, (3, 4)),
    Slot("bias", True, (3,)),
    Slot("wide", True, (2,)),
    Slot("seen", False, ()),
)
WORDS = words_of(SLOTS)


def seeds(of: object, count: int) -> list[bytes]:
    return [hashlib.sha256(f"{of}/{at}".encode()).digest() for at in range(count)]


def an_update(seed: int, size: float = 1.0, grown: int = 5) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.normal(scale=size, size=(3, 4)).astype(np.float32),
        "bias": rng.normal(scale=size, size=3).astype(np.float32),
        "wide": rng.normal(scale=size, size=2),
        "seen": np.array(grown),
    }


def contribution(update: dict[str, Array], rows: int, terms: Terms) -> Contribution:
    return Contribution(update, SLOTS, terms, rows, norm_of(update, SLOTS))


def opened(given: list[Contribution], aggregators: int, piece_words: int = WORDS) -> ShortWords:
    """The whole protocol, piece by piece."""
    pieces = []
    for start in range(0, WORDS, piece_words):
        span = range(start, min(start + piece_words, WORDS))
        packets = [one.packets(span, seeds((at, start), aggregators - 1)) for at, one in enumerate(given)]
        sums = [
            add_up((share_of(bytes(packet[at]), at, len(span)) for packet in packets), len(span))
            for at in range(aggregators)
        ]
        pieces.append(add_up(sums, len(span)))
    return np.concatenate(pieces)


@given(
    aggregators=st.integers(2, 5),
    rows=st.lists(st.integers(1, 70_000_000), min_size=2, max_size=8),
    clip=st.floats(1e-3, 1e6),
    size=st.floats(0, 1e4),
    piece_words=st.integers(1, WORDS + 3),
)
def test_the_mean_is_within_its_stated_error_of_the_mean_of_clipped_updates(
    aggregators: int, rows: list[int], clip: float, size: float, piece_words: int
) -> None:
    terms = Terms.finest(len(rows), clip, max(rows))
    updates = [an_update(at, size, grown=at) for at in range(len(rows))]
    given_ = [contribution(update, count, terms) for update, count in zip(updates, rows, strict=True)]
    total = read(opened(given_, aggregators, piece_words), SLOTS, terms, len(rows))
    assert total.rows == sum(rows)
    assert total.clipped == sum(one.norm > clip for one in given_)
    assert float(total.mean["seen"]) == pytest.approx(sum(range(len(rows))) / len(rows))
    for name in ("weight", "bias", "wide"):
        wanted = sum(
            count * min(1.0, clip / one.norm if one.norm else 1.0) * update[name].astype(np.float64)
            for count, update, one in zip(rows, updates, given_, strict=True)
        ) / sum(rows)
        room = terms.error(len(rows), sum(rows)) + 1e-14 * clip
        assert np.abs(total.mean[name] - wanted).max() <= room
    assert terms.error(len(rows), sum(rows)) <= len(rows) ** 2 * max(rows) * clip / (2**30 * sum(rows))


@given(st.integers(2, 5), st.integers(0, 2**32), st.integers(2, 6))
def test_shares_add_up_to_the_sum_of_quantised_updates(
    aggregators: int, seed: int, contributors: int
) -> None:
    terms = Terms.finest(contributors, 10.0, 1000)
    given_ = [contribution(an_update(seed + at), 1 + at, terms) for at in range(contributors)]
    total = opened(given_, aggregators).view(np.int32)
    flat = [
        np.concatenate([one.update[slot.name].reshape(-1).astype(np.float64) for slot in SLOTS if slot.real])
        for one in given_
    ]
    factors = [
        Fraction(one.rows) * Fraction(min(1.0, 10.0 / one.norm)) * Fraction(2) ** terms.fraction_bits
        for one in given_
    ]
    wanted = [
        sum(round(float(factor) * float(values[at])) for factor, values in zip(factors, flat, strict=True))
        for at in range(flat[0].size)
    ]
    assert total[: len(wanted)].tolist() == wanted


@given(st.integers(2, 64), st.floats(1e-6, 1e9), st.integers(1, 2**40), st.booleans())
def test_no_sum_of_updates_at_the_bound_wraps_around(
    contributors: int, clip: float, rows: int, negative: bool
) -> None:
    terms = Terms.finest(contributors, clip, rows)
    slots = (Slot("one", True, (1,)), Slot("count", False, ()))
    sign = -1 if negative else 1
    update = {"one": np.array([sign * clip * 1e3]), "count": np.array(sign * terms.limit)}
    one = Contribution(update, slots, terms, rows, norm_of(update, slots))
    span = range(words_of(slots))
    sums = [
        add_up((share_of(bytes(one.packets(span, seeds(0, 1))[at]), at, len(span)),) * contributors, 5)
        for at in range(2)
    ]
    total = read(add_up(sums, 5), slots, terms, contributors)
    assert total.mean["one"][0] == pytest.approx(sign * clip, rel=1e-3)
    assert float(total.mean["count"]) == pytest.approx(sign * terms.limit)
    assert (total.rows, total.clipped) == (contributors * rows, contributors)
    with pytest.raises(InvalidInputError, match="wrap"):
        Terms(contributors, clip, rows, terms.fraction_bits + 1)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_all_shares_but_one_are_uniform_whatever_the_update(missing: int) -> None:
    """Chi-square of all byte values over many fresh sharings of one fixed update."""
    terms = Terms.finest(3, 1.0, 10)
    one = contribution(an_update(7), 10, terms)
    seen = np.zeros(256)
    for turn in range(400):
        packets = one.packets(range(WORDS), seeds(turn, 2))
        known = [share_of(bytes(p), at, WORDS) for at, p in enumerate(packets) if at != missing]
        seen += np.bincount(add_up(known, WORDS).view(np.uint8), minlength=256)
    expected = seen.sum() / 256
    chi = np.square(seen - expected).sum() / expected
    assert abs(chi - 255) < 5 * np.sqrt(2 * 255)


def test_what_is_not_agreed_is_refused() -> None:
    terms = Terms.finest(2, 1.0, 100)
    with pytest.raises(OutOfRangeError, match="rows"):
        contribution(an_update(0), 101, terms).packets(range(WORDS), seeds(0, 1))
    with pytest.raises(OutOfRangeError, match="integer"):
        contribution(an_update(0, grown=2**31), 5, terms).packets(range(WORDS), seeds(0, 1))
    with pytest.raises(OutOfRangeError, match="finite"):
        contribution(an_update(0) | {"wide": np.array([np.nan, 0.0])}, 5, terms)
    with pytest.raises(InvalidInputError, match="needs two"):
        contribution(an_update(0), 5, terms).packets(range(WORDS), [])
    for position, size in ((0, 4 * WORDS - 1), (1, 31)):
        with pytest.raises(InvalidInputError, match="share"):
            share_of(bytes(size), position, WORDS)


def test_a_wrong_share_is_noticed_by_the_counts() -> None:
    terms = Terms.finest(2, 1.0, 100)
    words = opened([contribution(an_update(at), 50, terms) for at in range(2)], 2)
    noise = secure_aggregation.masks(bytes(32), WORDS)
    assert read(words, SLOTS, terms, 2).rows == 100
    with pytest.raises(ProtocolError, match="add up"):
        read(add_up([words, noise], WORDS), SLOTS, terms, 2)
