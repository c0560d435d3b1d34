"""One's own e-mail address, and what comes there."""

from sqlmodel import Session

from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    ObjectNotFoundError,
    WrongCredentialsError,
)
from gridward.core.schemas.accounts import MailIn, UserOut
from gridward.server import audit
from gridward.server.accounts import Accounts, UserFields
from gridward.server.addresses import ask_confirmation, change_address, confirm
from gridward.server.principals import Principal
from gridward.server.sessions import check_password, guess_limits
from gridward.server.users import describe


def change_own(accounts: Accounts, caller: Principal, body: MailIn, address: str) -> UserOut:
    """Set the caller's own address and choice.

    Another address takes the password, or a fresh sign-in where the provider stands for one. Raises
    `TooManyAttemptsError` for the sixth within an hour.
    """
    _require_whole(caller)
    with accounts.database.read() as db:
        user = _row(db, accounts, caller, locked=False)
    if body.email != user.email:
        _require_proof(accounts, caller, user, body, address)
        accounts.addresses.take(user.id)
    with accounts.database.write() as db:
        row = _row(db, accounts, caller)
        if row.email != user.email:
            raise ConflictError("the address was changed meanwhile")
        row.mails = body.mails.value
        change_address(db, accounts, row, body.email)
        db.add(row)
        audit.record(db, accounts.tables.audit, caller, accounts.clock(), "change_mail", row.username)
        return describe(db, accounts, row)


def confirm_own(accounts: Accounts, caller: Principal, code: str, address: str) -> UserOut:
    """Confirm the caller's address with the code that was mailed there; it counts once.

    Only the account's holder can: who gets the letter by mistake has the code and no account. Guesses
    count as at a sign-in. Raises `NotSignedInError` for any other code.
    """
    _require_whole(caller)
    with guess_limits(accounts, f"/mail\n{caller.name}", address), accounts.database.write() as db:
        row = _row(db, accounts, caller)
        confirm(accounts, row, code)
        db.add(row)
        audit.record(db, accounts.tables.audit, caller, accounts.clock(), "confirm_mail", row.username)
        return describe(db, accounts, row)


def send_code(accounts: Accounts, caller: Principal) -> None:
    """Mail another code to the caller's address.

    Raises `ConflictError` where none can be sent or none is needed, `TooManyAttemptsError` for the sixth
    letter within an hour.
    """
    _require_whole(caller)
    with accounts.database.write() as db:
        row = _row(db, accounts, caller)
        if row.email_confirmed:
            raise ConflictError("this account's address is confirmed")
        if not ask_confirmation(db, accounts, row):
            raise ConflictError("this account has no e-mail address, or this server sends no mail")
        accounts.addresses.take(row.id)
        db.add(row)


def _require_whole(caller: Principal) -> None:
    if caller.user_id is None or caller.limited_to is not None:
        raise AuthorizationError("only an account that signed in, with all that it may do, changes this")


def _require_proof(
    accounts: Accounts, caller: Principal, user: UserFields, body: MailIn, address: str
) -> None:
    if user.password_hash is None and user.oidc_key is None:
        return
    if user.password_hash is not None and body.password is None:
        raise WrongCredentialsError("password: another address takes the account's password")
    given = "" if body.password is None else body.password.get_secret_value()
    check_password(accounts, caller, given, address)


def _row(db: Session, accounts: Accounts, caller: Principal, *, locked: bool = True) -> UserFields:
    row = db.get(accounts.tables.user, caller.user_id, with_for_update=locked)
    if row is None:
        raise ObjectNotFoundError("this account is gone")
    return row
