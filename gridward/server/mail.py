"""Taking letters out of the outbox and to the SMTP server: the task of one thread."""

import logging
from datetime import timedelta
from typing import Final

from sqlmodel import col, delete, func, select

from gridward.server import outbox, smtp
from gridward.server.accounts import Accounts, OutboxFields
from gridward.server.outbox import MailState

PAUSE_S: Final = 2.0
"""Between two looks into the outbox."""
_BATCH: Final = 50
_LONGEST_PAUSE_S: Final = 3600.0
_KEPT: Final = timedelta(days=7)
_log: Final = logging.getLogger("gridward.mail")


def deliver(accounts: Accounts) -> None:
    """Send what is due. What does not leave now is due again later, after ever longer pauses."""
    if not outbox.sends(accounts):
        return
    _give_up_expired(accounts)
    while batch := _due(accounts):
        if not _send_all(accounts, batch):
            return


def waiting(accounts: Accounts) -> int:
    """Number of letters that have not left."""
    table = accounts.tables.outbox
    with accounts.database.read() as db:
        wanted = select(func.count()).select_from(table)
        return db.exec(wanted.where(col(table.state) == MailState.WAITING.value)).one()


def _due(accounts: Accounts) -> list[OutboxFields]:
    table = accounts.tables.outbox
    wanted = select(table).where(
        col(table.state) == MailState.WAITING.value, col(table.due_at) <= accounts.clock()
    )
    with accounts.database.read() as db:
        return list(db.exec(wanted.order_by(col(table.due_at), col(table.id)).limit(_BATCH)).all())


def _send_all(accounts: Accounts, batch: list[OutboxFields]) -> bool:
    left = list(batch)
    try:
        with smtp.connected(accounts.settings) as server:
            while left:
                letter = outbox.read(accounts, left[0])
                try:
                    if letter is None:
                        _end(accounts, left[0], MailState.GIVEN_UP, "unreadable")
                    else:
                        smtp.send(server, accounts.settings, left[0], letter)
                        _end(accounts, left[0], MailState.SENT)
                except smtp.UndeliverableError as why:
                    _end(accounts, left[0], MailState.GIVEN_UP, f"refused with {why.code}")
                except smtp.NotNowError as why:  # a full mailbox holds up no other
                    _log.warning("letter %s waits: refused for now with %d", left[0].id, why.code)
                    _postpone(accounts, left[:1])
                except ValueError:  # one letter that cannot be written holds up no other
                    _end(accounts, left[0], MailState.GIVEN_UP, "unwritable")
                left.pop(0)
    except (OSError, ValueError) as why:
        # The server's own words stay out of the log: they repeat addresses.
        _log.warning("mail does not leave: %s; %d letters wait", type(why).__name__, len(left))
        _postpone(accounts, left)
        return not left
    return True


def _end(accounts: Accounts, row: OutboxFields, state: MailState, failure: str = "") -> None:
    with accounts.database.write() as db:
        found = db.get(accounts.tables.outbox, row.id)
        if found is None or found.state != MailState.WAITING.value:
            return
        found.state, found.failure, found.sealed = state.value, failure, ""
        found.ended_at = accounts.clock()
        db.add(found)
    if failure:
        _log.warning("letter %s was given up: %s", row.id, failure)


def _postpone(accounts: Accounts, rows: list[OutboxFields]) -> None:
    now = accounts.clock()
    with accounts.database.write() as db:
        for row in rows:
            found = db.get(accounts.tables.outbox, row.id)
            if found is None:
                continue
            pause_s = accounts.settings.mail_retry_s * 2.0 ** min(found.attempts, 20)
            found.attempts += 1
            found.due_at = now + timedelta(seconds=min(_LONGEST_PAUSE_S, pause_s))
            db.add(found)


def _give_up_expired(accounts: Accounts) -> None:
    table, now = accounts.tables.outbox, accounts.clock()
    late = select(table).where(col(table.state) == MailState.WAITING.value, col(table.expires_at) <= now)
    with accounts.database.read() as db:
        expired = db.exec(late.limit(_BATCH)).all()
        old = db.exec(select(table.id).where(col(table.ended_at) <= now - _KEPT).limit(_BATCH)).all()
    for row in expired:
        _end(accounts, row, MailState.GIVEN_UP, "expired")
    if old:
        with accounts.database.write() as db:
            db.exec(delete(table).where(col(table.id).in_(old)))
