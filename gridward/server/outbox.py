"""The outbox: letters are rows of the transaction that they tell of, and a thread hands them over later.

A letter is sent at least once: it is there iff the act is there, outlives a crash, and is marked as sent
after the SMTP server took it. Only a crash between the two sends it again, under the same Message-ID.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter
from sqlmodel import Session

from gridward.core.schemas.accounts import MailChoice
from gridward.server.accounts import Accounts, OutboxFields, UserFields
from gridward.server.ids import new_id
from gridward.server.sealed import seal, unseal

_PURPOSE: Final = "outbox"


class MailState(StrEnum):
    """Where a letter is."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Letter:
    """What is told, in plain text."""

    subject: str
    text: str


_WRITTEN: Final = TypeAdapter(Letter)


def sends(accounts: Accounts) -> bool:
    """Say whether this server sends mail at all."""
    return accounts.settings.mail_host is not None


def put(
    db: Session,
    accounts: Accounts,
    user: UserFields,
    letter: Letter,
    *,
    expires_at: datetime | None = None,
    address: str | None = None,
) -> bool:
    """Put a letter to an account into the transaction `db`; False if the account cannot get mail.

    Letters go to a confirmed address only. ``address`` names one for the letter that confirms it.
    ``expires_at``: it is of no use later.
    """
    to = address or (user.email if user.email_confirmed else None)
    if not sends(accounts) or to is None or user.disabled:
        return False
    now = accounts.clock()
    latest = now + timedelta(seconds=accounts.settings.mail_expiry_s)
    row_id = new_id("mail")
    db.add(
        accounts.tables.outbox(
            id=row_id,
            user_id=user.id,
            address=to,
            sealed=seal(accounts.keys, _PURPOSE, row_id, _WRITTEN.dump_json(letter)),
            state=MailState.WAITING.value,
            created_at=now,
            due_at=now,
            expires_at=latest if expires_at is None else min(latest, expires_at),
        )
    )
    return True


def notify(db: Session, accounts: Accounts, user: UserFields, letter: Letter) -> bool:
    """Put a notice into the transaction `db`, if the account wants such mail."""
    return user.mails == MailChoice.ALL.value and put(db, accounts, user, letter)


def read(accounts: Accounts, row: OutboxFields) -> Letter | None:
    """Return what a waiting letter says; None if it was sealed by other keys."""
    plain = unseal(accounts.keys, _PURPOSE, row.id, row.sealed)
    return None if plain is None else _WRITTEN.validate_json(plain)
