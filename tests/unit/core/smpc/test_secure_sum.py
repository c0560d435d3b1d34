import hashlib
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.errors import InvalidInputError, OutOfRangeError
from gridward.core.smpc import secure_sum
from gridward.core.smpc.ring import RingArray
from gridward.core.smpc.secure_sum import Layout

BITS = 24


def seeded(seed: int) -> Callable[[int], bytes]:
    numbers = count()
    return lambda size: hashlib.shake_256(f"{seed}/{next(numbers)}".encode()).digest(size)


def opened(contributions: list[RingArray], aggregators: int, seed: int = 0) -> RingArray:
    """The whole protocol without its envelopes."""
    entropy = seeded(seed)
    packets = [secure_sum.split(words, aggregators, entropy) for words in contributions]
    size = contributions[0].size
    sums = [
        secure_sum.add_up([secure_sum.share_of(packet[at], at, size) for packet in packets])
        for at in range(aggregators)
    ]
    return secure_sum.add_up(sums)


@given(
    st.integers(2, 5),
    st.integers(2, 8),
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.data(),
)
def test_the_total_is_the_sum_of_all_contributions(
    aggregators: int, contributors: int, seed: int, size: int, data: st.DataObject
) -> None:
    largest = 2.0 ** (secure_sum.bits_of_one(contributors) - 2 - BITS)
    limit = (1 << (secure_sum.bits_of_one(contributors) - 1)) - 1
    reals = data.draw(
        st.lists(
            st.lists(st.floats(-largest, largest), min_size=size, max_size=size),
            min_size=contributors,
            max_size=contributors,
        )
    )
    whole = data.draw(st.lists(st.integers(-limit, limit), min_size=contributors, max_size=contributors))
    words = [
        secure_sum.pack([np.array(some), np.array(one, dtype=np.int64)], BITS, contributors)
        for some, one in zip(reals, whole, strict=True)
    ]
    layouts = [Layout(False, (size,)), Layout(True, ())]
    total, exact = secure_sum.unpack(opened(words, aggregators, seed), layouts, BITS)
    assert exact.shape == ()
    assert int(exact) == sum(whole)
    wanted = np.sum(np.array(reals), axis=0)
    # each contributor rounds once; the rest is float64's own
    room = contributors * 2.0 ** -(BITS + 1) + 2.0**-50 * np.sum(np.abs(np.array(reals)), axis=0)
    assert np.all(np.abs(total - wanted) <= room)


@given(st.integers(2, 64))
def test_no_total_of_largest_numbers_wraps_around(contributors: int) -> None:
    limit = (1 << (secure_sum.bits_of_one(contributors) - 1)) - 1
    words = secure_sum.pack([np.array([limit, -limit])], BITS, contributors)
    total = secure_sum.unpack(
        secure_sum.add_up([words] * contributors), [Layout(integer=True, shape=(2,))], BITS
    )[0]
    assert total.tolist() == [contributors * limit, -contributors * limit]


@pytest.mark.parametrize(
    "value",
    [
        np.array(2.0 ** (61 - BITS)),
        np.array(-(2.0 ** (61 - BITS))),
        np.array(np.nan),
        np.array(-np.inf),
        np.array(1 << 61),
        np.array(-(1 << 63)),
    ],
)
def test_what_could_wrap_around_is_refused_and_not_told(value: np.ndarray) -> None:
    with pytest.raises(OutOfRangeError, match="range of this secure sum") as refusal:
        secure_sum.pack([value + 0], BITS, 2)
    assert f"{float(value):g} does" not in refusal.value.detail


@pytest.mark.parametrize("aggregators", [2, 3, 5])
@pytest.mark.parametrize("missing", [0, 1, -1])
def test_all_shares_but_one_say_nothing_of_the_values(aggregators: int, missing: int) -> None:
    """With fresh seeds the sum of any n-1 shares is uniform: its bits are balanced, whatever the value."""
    words = np.full(4096, 7, dtype=np.uint64)
    packets = secure_sum.split(words, aggregators, seeded(1))
    shares = [secure_sum.share_of(packet, at, 4096) for at, packet in enumerate(packets)]
    known = [share for at, share in enumerate(shares) if at != missing % aggregators]
    bits = np.unpackbits(secure_sum.add_up(known).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 0.005  # 5 standard deviations of 262,144 coins


def test_one_aggregator_and_odd_packets_are_refused() -> None:
    words = np.zeros(3, dtype=np.uint64)
    with pytest.raises(InvalidInputError, match="needs two"):
        secure_sum.split(words, 1, seeded(0))
    packets = secure_sum.split(words, 2, seeded(0))
    assert [len(packet) for packet in packets] == [24, 32]
    with pytest.raises(InvalidInputError):
        secure_sum.share_of(packets[0], 0, 4)
    with pytest.raises(InvalidInputError, match="seed"):
        secure_sum.share_of(packets[0], 1, 3)
