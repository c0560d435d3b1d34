"""What a client and a party say over their channel: a WebSocket on which queries are opened and answered.

The same two steps as over HTTP, without a request's overhead. A client sends a text message to open a query,
its grant, or a frame to have one answered; the party answers each with one frame, in order.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from pydantic import BaseModel, ValidationError

from gridward.core.errors import ERRORS, Code, GridError, InvalidInputError, ProtocolError
from gridward.core.framing import Frame

PROOF_BYTES: Final = 32
_QUERY_BYTES: Final = 16
_ASK: Final = struct.Struct(f"<{PROOF_BYTES}s{_QUERY_BYTES}s")
_OPENED: Final = struct.Struct(f"<B{_QUERY_BYTES}s")
_ANSWERED: Final = struct.Struct("<BIQd")
OVERHEAD_BYTES: Final = _ASK.size


class ReplyKind(IntEnum):
    """The first byte of a reply."""

    REFUSED = 0
    OPENED = 1
    ANSWERED = 2


class Refusal(BaseModel):
    """Why a step was refused; as a problem document, but for what belongs to HTTP."""

    code: Code
    detail: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer a query: proof that the sender has its grant, its id, and the masked input."""

    proof: bytes
    query_id: str
    masked: Frame


@dataclass(frozen=True, slots=True)
class Opened:
    """A query waits for its input; the subkey of the input's mask is sealed to the asker."""

    query_id: str
    sealed: Frame


@dataclass(frozen=True, slots=True)
class Answered:
    """An output share, sealed to the asker, and what the joint computation took."""

    sealed: Frame
    rounds: int
    sent_bytes: int
    seconds: float


Reply: TypeAlias = Opened | Answered


def write_ask(ask: Ask) -> tuple[bytes, Frame]:
    """Write a request to answer, in two parts: the input may be long."""
    return _ASK.pack(ask.proof, bytes.fromhex(ask.query_id)), ask.masked


def read_ask(frame: Frame) -> Ask:
    """Read what ``write_ask`` wrote, with a view of the input; raises ``InvalidInputError``."""
    if len(frame) < _ASK.size:
        raise InvalidInputError(f"a request to answer begins with {_ASK.size} bytes")
    proof, query = _ASK.unpack_from(frame)
    return Ask(proof, query.hex(), memoryview(frame)[_ASK.size :])


def write_reply(reply: Reply | GridError) -> tuple[bytes, Frame]:
    """Write a reply, in two parts: what is sealed may be long."""
    match reply:
        case Opened():
            return _OPENED.pack(ReplyKind.OPENED, bytes.fromhex(reply.query_id)), reply.sealed
        case Answered():
            head = (ReplyKind.ANSWERED, reply.rounds, reply.sent_bytes, reply.seconds)
            return _ANSWERED.pack(*head), reply.sealed
        case GridError():
            refusal = Refusal(code=reply.code, detail=reply.detail, retry_after_s=reply.retry_after_s)
            return bytes([ReplyKind.REFUSED]), refusal.model_dump_json().encode()


def read_reply(frame: Frame, speaker: str) -> Reply:
    """Read a reply; a refusal is raised as its exception, anything else as ``ProtocolError``.

    What is sealed is a view of the frame.
    """
    try:
        match ReplyKind(frame[0]):
            case ReplyKind.OPENED:
                return Opened(_OPENED.unpack_from(frame)[1].hex(), memoryview(frame)[_OPENED.size :])
            case ReplyKind.ANSWERED:
                _, rounds, sent_bytes, seconds = _ANSWERED.unpack_from(frame)
                return Answered(memoryview(frame)[_ANSWERED.size :], rounds, sent_bytes, seconds)
            case ReplyKind.REFUSED:
                refusal = Refusal.model_validate_json(bytes(frame[1:]))
    except (IndexError, ValueError, struct.error, ValidationError) as why:
        raise ProtocolError(f"{speaker} sent something that is no reply") from why
    error = ERRORS[refusal.code](refusal.detail)
    error.retry_after_s = refusal.retry_after_s
    raise error
