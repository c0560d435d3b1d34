"""Reading the audit log: search, the whole as lines, and its check."""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from sqlmodel import col, select

from gridward.core.audit import examine
from gridward.core.schemas.audit import AuditEntryOut, AuditOut, AuditVerdictOut
from gridward.server import audit, audit_heads
from gridward.server.accounts import Accounts
from gridward.server.principals import Capability, Principal

_EXPORTED: Final = "export_audit"


def search(
    accounts: Accounts,
    caller: Principal,
    *,
    before: int | None,
    limit: int,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    decision: str | None = None,
    plan_digest: str | None = None,
    request_id: str | None = None,
    result_digest: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> AuditOut:
    """Return entries that fit all that is given, newest first; for those who may read the log."""
    caller.require(Capability.READ_AUDIT)
    table = accounts.tables.audit
    exact = (
        (table.actor, actor),
        (table.action, action),
        (table.subject, subject),
        (table.decision, decision),
        (table.plan_digest, plan_digest),
        (table.request_id, request_id),
        (table.result_digest, result_digest),
    )
    wanted = select(table).order_by(col(table.id).desc()).limit(limit + 1)
    wanted = wanted.where(*(col(column) == value for column, value in exact if value is not None))
    if before is not None:
        wanted = wanted.where(col(table.id) < before)
    if since is not None:
        wanted = wanted.where(col(table.at) >= since)
    if until is not None:
        wanted = wanted.where(col(table.at) < until)
    with accounts.database.read() as db:
        found = db.exec(wanted).all()
    page = [AuditEntryOut.model_validate(row) for row in found[:limit]]
    return AuditOut(items=page, earlier=page[-1].id if len(found) > limit else None)


def export(accounts: Accounts, caller: Principal) -> Iterator[bytes]:
    """Give the whole log, first entry first, as lines of JSON; the last line is its signed head."""
    caller.require(Capability.READ_AUDIT)
    with accounts.database.write() as db:
        audit.record(db, accounts.tables.audit, caller, accounts.clock(), _EXPORTED, "")
    return lines(accounts)


def lines(accounts: Accounts) -> Iterator[bytes]:
    """Give the log as it is when the first line is asked for, and a head that signs exactly these entries."""
    head = audit_heads.head(accounts)
    for row in islice(audit.rows(accounts.database, accounts.tables.audit), head.count):
        yield json.dumps(audit.stated(row), ensure_ascii=False).encode() + b"\n"
    yield head.model_dump_json().encode() + b"\n"


def verify(accounts: Accounts) -> AuditVerdictOut:
    """Check the whole log against itself and the kept heads."""
    heads = audit_heads.read(accounts.settings.data_dir, accounts.keys.id)
    found = examine(map(audit.stated, audit.rows(accounts.database, accounts.tables.audit)), heads)
    return AuditVerdictOut(count=found.count, flaws=list(found.flaws), heads=len(heads))
