import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.framing import LENGTH, LONGEST_MESSAGE_BYTES, MESSAGE_BYTES, Receive, joined, pieces


def reader(messages: list[bytes]) -> Receive:
    left = iter(messages)
    return lambda deadline: next(left)


@given(st.integers(0, 3 * MESSAGE_BYTES + 1))
def test_a_frame_is_joined_as_it_was_cut_and_no_message_is_too_long(count: int) -> None:
    frame = bytes(count)
    cut = list(pieces(frame))
    assert all(len(message) <= LONGEST_MESSAGE_BYTES for message in cut)
    assert joined(reader(cut), 1e12, count) == frame


def test_an_announced_length_above_the_limit_is_refused_before_more_is_read() -> None:
    with pytest.raises(OSError, match="at most 64 are due"):
        joined(reader([LENGTH.pack(1 << 60) + b"x"]), 1e12, 64)


@pytest.mark.parametrize(
    ("messages", "fault"),
    [([b"abc"], "fewer bytes"), ([LENGTH.pack(3) + bytes(8)], "8 bytes in a frame of 3")],
)
def test_messages_that_make_no_frame_are_refused(messages: list[bytes], fault: str) -> None:
    with pytest.raises(OSError, match=fault):
        joined(reader(messages), 1e12, 64)


def test_messages_that_never_stop_do_not_outlive_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        joined(reader([LENGTH.pack(9), *[b""] * 10**5]), 0.0, 64)
