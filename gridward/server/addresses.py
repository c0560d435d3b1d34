"""The e-mail address of an account, whoever changes it."""

from sqlmodel import Session

from gridward.server import letters, outbox
from gridward.server.accounts import Accounts, UserFields
from gridward.server.sessions import forget


def change_address(db: Session, accounts: Accounts, user: UserFields, email: str | None) -> None:
    """Set an account's address within the transaction `db`; tokens that went to the old one end."""
    if email == user.email:
        return
    if user.email is not None:
        letter = letters.address_changed(accounts, user.username)
        outbox.put(db, accounts, user, letter, address=user.email)
    user.email = email
    forget(db, accounts, user.id, tokens=False)
