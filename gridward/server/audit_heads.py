"""Signed heads of the audit log, kept in the data folder: they show a database that lost entries.

One line a head. While the log agrees with the last line, that line is replaced by a newer head; a head that
the log contradicts stays for good. Whoever keeps the database elsewhere can change it and cannot sign.
"""

import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from sqlmodel import Session

from gridward.core.audit import GENESIS, check_head, moment, sign_head
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.audit import AuditHead
from gridward.core.smpc.disk import sync_folder, write_durably
from gridward.server import audit
from gridward.server.accounts import Accounts
from gridward.server.audit import AuditFields

HEADS: Final = "audit-heads.jsonl"
PAUSE_S: Final = 60.0
_log: Final = logging.getLogger("gridward.audit")


def head(accounts: Accounts) -> AuditHead:
    """Sign what the last row is now."""
    with accounts.database.read() as db:
        count, digest = audit.last(db, accounts.tables.audit)
    return sign_head(accounts.keys.sign_key, count, digest, accounts.clock())


def read(data_dir: Path, server: str) -> list[AuditHead]:
    """Read the kept heads. Raises `InvalidInputError` where a line is not a head of this server."""
    path = data_dir / HEADS
    try:
        kept = [AuditHead.model_validate_json(line) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except ValidationError as why:
        raise InvalidInputError(f"{path} holds a line that is not a head of an audit log") from why
    for one in kept:
        check_head(one)
        if one.server != server:
            raise InvalidInputError(f"{path} holds the head of another server's audit log")
    return kept


def keep(accounts: Accounts) -> None:
    """Put the present head into the file, in place of the last one if the log still agrees with that."""
    with accounts.heads:
        _keep(accounts)


def _keep(accounts: Accounts) -> None:
    data_dir = accounts.settings.data_dir
    kept = read(data_dir, accounts.keys.id)
    now = head(accounts)
    if kept and (kept[-1].count, kept[-1].digest) == (now.count, now.digest):
        return
    settled = kept if kept and _misses(accounts, kept[-1]) else kept[:-1]
    _write(data_dir, [*settled, head(accounts)])


def compare(accounts: Accounts) -> None:
    """At a server's start: write it down, in the log itself too, if the log lost what was signed for."""
    kept = read(accounts.settings.data_dir, accounts.keys.id)
    if not kept:
        return
    keep(accounts)


def learn(accounts: Accounts, witnessed: AuditHead) -> None:
    """Take what a gateway kept of this server's heads: write it down if the log lost what was signed for.

    Raises `InvalidInputError` for what this server never signed.
    """
    check_head(witnessed)
    if witnessed.server != accounts.keys.id:
        raise InvalidInputError("the gateway keeps the head of another server's audit log as this one's")
    with accounts.heads:
        kept = read(accounts.settings.data_dir, accounts.keys.id)
        if witnessed not in kept and _misses(accounts, witnessed):
            _write(accounts.settings.data_dir, [witnessed, *kept, head(accounts)])


def _misses(accounts: Accounts, signed: AuditHead) -> bool:
    """Say whether the log lost what was signed for; if so, write it down."""
    table = accounts.tables.audit
    with accounts.database.read() as db:
        if agrees(db, table, signed):
            return False
    with accounts.database.write() as db:
        count, _ = audit.last(db, table)
        said = f"has {count} entries; entry {signed.count} as signed on {moment(signed.at)} is not among them"
        _log.error("the audit log %s: was an older database put in place?", said)
        audit.record(db, table, None, accounts.clock(), "audit_lost", "", decision="found", reason=said)
    return True


def agrees(db: Session, table: type[AuditFields], signed: AuditHead) -> bool:
    """Say whether the log has the entry that was signed for."""
    if signed.count == 0:
        return signed.digest == GENESIS
    row = db.get(table, signed.count)
    return row is not None and row.digest == signed.digest


def _write(data_dir: Path, heads: Sequence[AuditHead]) -> None:
    fresh = data_dir / f".{HEADS}-{secrets.token_hex(8)}"
    write_durably(fresh, b"".join(one.model_dump_json().encode() + b"\n" for one in heads))
    fresh.replace(data_dir / HEADS)
    sync_folder(data_dir)
