"""The e-mail address of an account: whoever changes it, its holder confirms it before letters go there."""

import hashlib
import hmac
import secrets
from datetime import timedelta

from sqlmodel import Session

from gridward.core.errors import NotSignedInError
from gridward.server import letters, outbox
from gridward.server.accounts import Accounts, UserFields
from gridward.server.sessions import forget


def change_address(db: Session, accounts: Accounts, user: UserFields, email: str | None) -> None:
    """Set an account's address within the transaction `db`; tokens that went to the old one end.

    The new one gets a code and nothing else until the account's holder sent that code back.
    """
    if email == user.email:
        return
    outbox.put(db, accounts, user, letters.address_changed(accounts, user.username))
    user.email = email
    forget(db, accounts, user.id, tokens=False)
    ask_confirmation(db, accounts, user)


def ask_confirmation(db: Session, accounts: Accounts, user: UserFields) -> bool:
    """Mail a new code to the account's address within the transaction `db`; an earlier one ends.

    False if none was sent: this server sends no mail, the account has no address, or nobody signs in to it
    yet. Who is invited confirms by the invitation's letter.
    """
    user.email_confirmed, user.email_code_hash, user.email_code_expires_at = False, None, None
    if user.email is None or not outbox.sends(accounts) or not has_holder(user):
        return False
    code = secrets.token_urlsafe(24)
    expires_at = accounts.clock() + timedelta(seconds=accounts.settings.mail_confirm_s)
    user.email_code_hash, user.email_code_expires_at = _hash(code), expires_at
    letter = letters.confirmation(accounts, user.username, code, expires_at)
    return outbox.put(db, accounts, user, letter, expires_at=expires_at, address=user.email)


def confirm(accounts: Accounts, user: UserFields, code: str) -> None:
    """Spend the code that went to the account's address. Raises `NotSignedInError` if it is not that one."""
    known, until = user.email_code_hash, user.email_code_expires_at
    fits = known is not None and hmac.compare_digest(known, _hash(code))
    if not fits or until is None or until <= accounts.clock():
        raise NotSignedInError("code: it is not that of this account's address, was used, or has expired")
    set_confirmed(user)


def set_confirmed(user: UserFields) -> None:
    """Let letters go to the account's address: its holder got what went there."""
    user.email_confirmed, user.email_code_hash, user.email_code_expires_at = True, None, None


def has_holder(user: UserFields) -> bool:
    """Say whether somebody signs in to the account already."""
    return user.password_hash is not None or user.oidc_key is not None or "@" in user.username


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
