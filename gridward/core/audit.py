"""The audit log as a chain: every entry's digest covers the entry and the digest before it.

So an entry cannot be changed, taken out or moved without changing every digest behind it. Whoever may write
the whole log could make all of these anew: a *head*, signed by the server and kept elsewhere, pins everything
up to its entry. Schneier, Kelsey: Secure Audit Logs to Support Computer Forensics, 1999.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gridward.core.errors import InvalidInputError
from gridward.core.identity import encode_key, id_of, read_sign_key
from gridward.core.plans.canonical import dumps
from gridward.core.schemas.audit import AuditHead

Entry: TypeAlias = Mapping[str, Any]
"""Columns of one entry: id, at, actor, .. and its digest."""

GENESIS: Final = "0" * 64
"""What stands for the digest before the first entry."""
_ENTRY: Final = b"gridward.audit-entry.1\n"
_HEAD: Final = b"gridward.audit-head.1\n"
_UNSIGNED: Final = "0" * 128
_MOST_FLAWS: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: the number of entries, the last one's digest, and each flaw as a sentence."""

    count: int
    digest: str
    flaws: Sequence[str]


def moment(at: datetime) -> str:
    """Write a moment as digests cover it: RFC 3339, UTC, microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def digest_of(previous: str, entry: Entry) -> str:
    """SHA-256 in hex of the digest before and of the entry's canonical JSON (RFC 8785).

    Empty members are left out: a column that is added later changes no digest that was made before.
    """
    stated = {name: value for name, value in entry.items() if value not in ("", None) and name != "digest"}
    return hashlib.sha256(_ENTRY + previous.encode() + b"\n" + dumps(stated)).hexdigest()


def sign_head(key: Ed25519PrivateKey, count: int, digest: str, at: datetime) -> AuditHead:
    """State, as the server that holds the key, what the last entry of its log is."""
    sign_key = encode_key(key.public_key().public_bytes_raw())
    said = AuditHead(
        server=id_of(sign_key), sign_key=sign_key, count=count, digest=digest, at=at, signature=_UNSIGNED
    )
    return said.model_copy(update={"signature": key.sign(_signed(said)).hex()})


def check_head(head: AuditHead) -> None:
    """Raise `InvalidInputError` unless the head is signed by the key from which its server's id comes."""
    if id_of(head.sign_key) != head.server:
        raise InvalidInputError("the head of the audit log shows a key that is not its server's")
    try:
        read_sign_key(head.sign_key).verify(bytes.fromhex(head.signature), _signed(head))
    except InvalidSignature as why:
        raise InvalidInputError("the head of the audit log does not bear its server's signature") from why


def examine(entries: Iterable[Entry], heads: Sequence[AuditHead] = ()) -> Verdict:
    """Check a whole log, first entry first, against itself and against heads that were signed earlier.

    Finds every change, deletion, insertion and exchange of entries; a log that was cut at its end, or made
    anew as a whole, only where a head says otherwise. One pass; at most 100 flaws are told.
    """
    flaws: list[str] = []
    previous, count = GENESIS, 0
    for entry in entries:
        flaws += _flaws_of(entry, previous, count, heads)
        previous, count = str(entry["digest"]), int(entry["id"])
    flaws += [
        f"the log ends at entry {count}, but {head.count} entries were signed on {moment(head.at)}"
        for head in heads
        if head.count > count
    ]
    return Verdict(count, previous, tuple(flaws[:_MOST_FLAWS]))


def _flaws_of(entry: Entry, previous: str, count: int, heads: Sequence[AuditHead]) -> list[str]:
    number = int(entry["id"])
    flaws = []
    if number <= count:
        flaws.append(f"entry {number} stands behind entry {count}")
    elif number > count + 1:
        flaws.append(f"entries {count + 1} to {number - 1} are missing")
    elif entry["digest"] != digest_of(previous, entry):
        flaws.append(f"entry {number} is not what was written")
    flaws += [
        f"entry {number} is not the one that was signed on {moment(head.at)}"
        for head in heads
        if head.count == number and head.digest != entry["digest"]
    ]
    return flaws


def _signed(head: AuditHead) -> bytes:
    said = {"server": head.server, "count": head.count, "digest": head.digest, "at": moment(head.at)}
    return _HEAD + dumps(said)
