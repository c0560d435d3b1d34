import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.errors import InvalidInputError
from gridward.core.smpc import ring

words = st.integers(0, 2**64 - 1)


@given(st.lists(words, max_size=20))
def test_bytes_of_words_read_back(values: list[int]) -> None:
    array = np.array(values, dtype=np.uint64)
    assert np.array_equal(ring.from_bytes(ring.to_bytes(array), array.shape), array)


def test_bytes_are_little_endian_and_row_by_row() -> None:
    array = np.array([[1, 2], [3, 2**64 - 1]], dtype=np.uint64).T
    assert ring.to_bytes(array).hex() == "010000000000000003000000000000000200000000000000" + "ff" * 8


def test_bytes_of_another_length_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="15 bytes"):
        ring.from_bytes(bytes(15), (2,))


@given(st.integers(-(2**70), 2**70))
def test_a_word_is_the_residue_of_an_integer(value: int) -> None:
    assert int(ring.word(value)) == value % 2**64


@given(st.integers(-(2**63), 2**63 - 1))
def test_the_signed_view_is_twos_complement(value: int) -> None:
    array = np.array([ring.word(value)])
    assert int(ring.signed(array)[0]) == value
    assert np.array_equal(ring.unsigned(ring.signed(array)), array)


@given(st.lists(st.booleans(), max_size=40))
def test_packed_bits_unpack_to_themselves(bits: list[bool]) -> None:
    packed = ring.pack_bits(np.array(bits, dtype=np.bool_))
    assert packed.size == ring.packed_bytes(len(bits))
    assert ring.unpack_bits(packed, len(bits)).tolist() == bits


def test_the_first_bit_is_the_lowest() -> None:
    assert ring.pack_bits(np.array([True, False, False, True])).tolist() == [9]


def test_bytes_that_may_be_written_are_taken_in_their_place_and_others_copied() -> None:
    data = bytearray(range(40))
    taken = ring.take_bytes(memoryview(data)[8:], (2, 2))
    assert np.array_equal(taken, ring.from_bytes(data[8:], (2, 2)))
    taken[0, 0] = 0
    assert data[8:16] == bytes(8)
    for other in (bytes(data[8:]), memoryview(data)[1:33]):  # not to be written, not aligned
        copied = ring.take_bytes(other, (4,))
        before = bytes(other)
        copied += np.uint64(1)
        assert bytes(other) == before and copied.flags.aligned
