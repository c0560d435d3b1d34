"""Setting the second factor of an account up, and taking it away."""

from collections.abc import Sequence

from sqlmodel import Session

from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    ObjectNotFoundError,
    WrongCredentialsError,
)
from gridward.core.schemas.accounts import RecoveryOut, SecondFactorOut
from gridward.server import audit, roles, totp
from gridward.server.accounts import Accounts, UserFields
from gridward.server.principals import Capability, Principal
from gridward.server.sessions import (
    check_password,
    forget,
    guess_limits,
    record_refusal,
    revoke_all,
    spend_code,
    user_named,
)


def begin(accounts: Accounts, caller: Principal, password: str, address: str) -> SecondFactorOut:
    """Draw a secret for the caller's account; it counts once ``confirm`` has seen a code made with it."""
    user = check_password(accounts, caller, password, address)
    if user.totp_active:
        raise ConflictError("the account has a second factor; remove it before you set up another")
    secret = totp.new_secret()
    with accounts.database.write() as db:
        row = _row(db, accounts, user.id)
        if row.totp_active:
            raise ConflictError("a second factor was set up meanwhile")
        row.totp_sealed = totp.seal(accounts.keys, row.id, secret)
        db.add(row)
    return SecondFactorOut(address=totp.address(secret, user.username, f"Gridward {accounts.keys.id[:8]}"))


def confirm(accounts: Accounts, caller: Principal, code: str, address: str) -> RecoveryOut:
    """Switch the second factor on; recovery codes are shown only now. Other sessions of the account end."""
    if caller.user_id is None:
        raise ObjectNotFoundError(f"'{caller.name}' has no account here")
    codes = totp.new_recovery_codes()
    with guess_limits(accounts, caller.name, address):
        try:
            _switch_on(accounts, caller, caller.user_id, code, codes)
        except WrongCredentialsError:
            record_refusal(accounts, caller.name, address, "the code is wrong", action="set_second_factor")
            raise
    return RecoveryOut(codes=codes)


def remove_own(accounts: Accounts, caller: Principal, password: str, code: str, address: str) -> None:
    """Take one's own second factor away, with password and a code."""
    user = check_password(accounts, caller, password, address)
    with guess_limits(accounts, caller.name, address):
        if not spend_code(accounts, user.id, code):
            wrong = "the code is wrong"
            record_refusal(accounts, caller.name, address, wrong, action="remove_second_factor")
            raise WrongCredentialsError("the code does not fit, or was used")
    _remove(accounts, caller, user.id)


def remove(accounts: Accounts, caller: Principal, username: str) -> None:
    """Take the second factor of somebody who lost the device away; their sessions end."""
    caller.require(Capability.MANAGE_USERS)
    with accounts.database.read() as db:
        user = user_named(db, accounts, username)
        if user is None:
            raise ObjectNotFoundError(f"no user '{username}'")
        if user.id == caller.user_id:
            raise AuthorizationError("your own second factor takes your password and a code to remove")
        if not roles.held_by(db, accounts.tables.role, user.role) <= caller.capabilities:
            raise AuthorizationError(f"'{username}' can do more than '{caller.name}'")
    _remove(accounts, caller, user.id)


def _switch_on(
    accounts: Accounts, caller: Principal, user_id: str, code: str, recovery: Sequence[str]
) -> None:
    now = accounts.clock()
    with accounts.database.write() as db:
        row = _row(db, accounts, user_id)
        if row.totp_sealed is None or row.totp_active:
            raise ConflictError("there is no second factor that waits for its first code")
        secret = totp.unseal(accounts.keys, row.id, row.totp_sealed)
        step = totp.step_of(secret, code.strip(), now, after=0)
        if step is None:
            raise WrongCredentialsError("the code does not fit; is the clock of the device right?")
        row.totp_active, row.totp_step = True, step
        row.recovery_hashes = [totp.hash_recovery(one) for one in recovery]
        db.add(row)
        revoke_all(db, accounts, row.id, but=caller.session_id)
        forget(db, accounts, row.id)
        audit.record(db, accounts.tables.audit, caller, now, "set_second_factor", row.username)


def _remove(accounts: Accounts, caller: Principal, user_id: str) -> None:
    with accounts.database.write() as db:
        row = _row(db, accounts, user_id)
        if not row.totp_active:
            raise ConflictError("the account has no second factor")
        row.totp_sealed, row.totp_active, row.recovery_hashes = None, False, []
        db.add(row)
        revoke_all(db, accounts, row.id, but=caller.session_id)
        audit.record(
            db, accounts.tables.audit, caller, accounts.clock(), "remove_second_factor", row.username
        )


def _row(db: Session, accounts: Accounts, user_id: str) -> UserFields:
    row = db.get(accounts.tables.user, user_id, with_for_update=True)
    if row is None:
        raise ObjectNotFoundError("this account is gone")
    return row
