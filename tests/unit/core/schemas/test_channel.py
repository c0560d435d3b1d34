import pytest

from gridward.core.errors import BusyError, InvalidInputError, ObjectNotFoundError, ProtocolError
from gridward.core.schemas.channel import (
    Answered,
    Ask,
    Opened,
    Reply,
    read_ask,
    read_reply,
    write_ask,
    write_reply,
)

QUERY = "0123456789abcdef" * 2
ASK = Ask(b"p" * 32, QUERY, b"words")


def test_a_request_is_read_as_it_was_written() -> None:
    assert read_ask(b"".join(write_ask(ASK))) == ASK


@pytest.mark.parametrize("reply", [Opened(QUERY, b"sealed"), Answered(b"sealed", 21, 1 << 40, 0.25)])
def test_a_reply_is_read_as_it_was_written(reply: Reply) -> None:
    assert read_reply(b"".join(write_reply(reply)), "party 1") == reply


def test_a_refusal_comes_back_as_its_exception_with_its_pause() -> None:
    with pytest.raises(ObjectNotFoundError, match="ask anew"):
        read_reply(b"".join(write_reply(ObjectNotFoundError("ask anew"))), "party 1")
    with pytest.raises(BusyError) as caught:
        read_reply(b"".join(write_reply(BusyError("later", retry_after_s=5))), "party 1")
    assert caught.value.retry_after_s == 5


@pytest.mark.parametrize("frame", [b"", b"\x07", b"\x01short", b"\x02", b"\x00{}", b"\x00not json"])
def test_what_is_no_reply_is_refused_by_the_name_of_who_sent_it(frame: bytes) -> None:
    with pytest.raises(ProtocolError, match="party 1 sent something that is no reply"):
        read_reply(frame, "party 1")


def test_a_request_that_is_too_short_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="48 bytes"):
        read_ask(b"".join(write_ask(ASK))[:40])


def test_the_bytes_of_requests_and_replies_are_frozen() -> None:
    assert b"".join(write_ask(ASK)).hex() == "70" * 32 + QUERY + b"words".hex()
    assert b"".join(write_reply(Opened(QUERY, b"x"))).hex() == "01" + QUERY + "78"
    assert (
        b"".join(write_reply(Answered(b"x", 3, 5, 0.5))).hex()
        == "02030000000500000000000000000000000000e03f78"
    )
