"""One's own e-mail address, and what comes there."""

from sqlmodel import Session

from gridward.core.errors import AuthorizationError, ObjectNotFoundError, WrongCredentialsError
from gridward.core.schemas.accounts import MailIn, UserOut
from gridward.server import audit
from gridward.server.accounts import Accounts, UserFields
from gridward.server.addresses import change_address
from gridward.server.principals import Principal
from gridward.server.sessions import check_password
from gridward.server.users import describe


def change_own(accounts: Accounts, caller: Principal, body: MailIn, address: str) -> UserOut:
    """Set the caller's own address and choice.

    Another address takes the password, or a fresh sign-in where the provider stands for one. Raises
    `TooManyAttemptsError` for the sixth within an hour.
    """
    if caller.user_id is None or caller.limited_to is not None:
        raise AuthorizationError("only an account that signed in, with all that it may do, changes this")
    with accounts.database.read() as db:
        user = _row(db, accounts, caller)
    if body.email != user.email:
        _require_proof(accounts, caller, user, body, address)
        accounts.addresses.take(user.id)
    with accounts.database.write() as db:
        row = _row(db, accounts, caller)
        row.mails = body.mails.value
        change_address(db, accounts, row, body.email)
        db.add(row)
        audit.record(db, accounts.tables.audit, caller, accounts.clock(), "change_mail", row.username)
        return describe(db, accounts, row)


def _require_proof(
    accounts: Accounts, caller: Principal, user: UserFields, body: MailIn, address: str
) -> None:
    if user.password_hash is None and user.oidc_key is None:
        return
    if user.password_hash is not None and body.password is None:
        raise WrongCredentialsError("password: another address takes the account's password")
    given = "" if body.password is None else body.password.get_secret_value()
    check_password(accounts, caller, given, address)


def _row(db: Session, accounts: Accounts, caller: Principal) -> UserFields:
    row = db.get(accounts.tables.user, caller.user_id)
    if row is None:
        raise ObjectNotFoundError("this account is gone")
    return row
