"""Signing in through the provider: to the provider, back with a ticket, and into an account.

An account is found by (issuer, subject) alone. It is linked by whoever holds an invitation's token, by its
holder with the password, or by those who manage it; or it is made for a person who comes the first time,
where the settings give such people a role. A role that needs a second factor has it if the provider says in
`amr` or `acr` that it saw one (`oidc_second_factor`); else the account's own codes count.
"""

import re
from dataclasses import dataclass
from typing import Final

from sqlmodel import Session, col, select

from gridward.core.errors import (
    AlreadyExistsError,
    AuthorizationError,
    ConflictError,
    NotSignedInError,
    ObjectNotFoundError,
    SecondFactorRequiredError,
    WrongCredentialsError,
)
from gridward.core.schemas.access import USERNAME_PATTERN
from gridward.core.schemas.accounts import RoleName
from gridward.server import audit, invitations
from gridward.server.accounts import Accounts, UserFields
from gridward.server.ids import new_id
from gridward.server.oidc import flow as flows
from gridward.server.oidc import identity as identities
from gridward.server.oidc.flow import Flow, Loopback, Ticket
from gridward.server.oidc.identity import Identity
from gridward.server.oidc.provider import Provider
from gridward.server.principals import Principal
from gridward.server.sessions import (
    check_password,
    forget,
    guess_limits,
    record_refusal,
    revoke_all,
    spend_code,
    user_named,
)
from gridward.server.users import managed

CALLBACK: Final = "/sign-in/oidc/callback"
_CODE: Final = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and what it carries."""

    address: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came back with a browser."""

    flow: Flow
    ticket: str


class NobodyLinkedError(NotSignedInError):
    """The person was at the provider, and no account here is theirs: an invitation would link one."""


def depart(accounts: Accounts, next_path: str, loopback: Loopback | None) -> Departure:
    """Begin a sign-in. Raises `ObjectNotFoundError` without a provider, `BusyError` if it does not answer."""
    provider = provider_of(accounts)
    flow, state, cookie = flows.begin(accounts.keys, next_path, loopback, accounts.clock())
    address = provider.address(
        state=state,
        nonce=flow.nonce,
        verifier=flow.verifier,
        redirect=_redirect(accounts),
        # A program's sign-in is never silent: another program of this machine may have opened the browser.
        prompt=None if loopback is None else "login",
    )
    return Departure(address, cookie)


def arrive(
    accounts: Accounts,
    cookie: str | None,
    *,
    state: str,
    code: str | None,
    error: str | None,
    issuer: str | None,
) -> Arrival:
    """Check what the provider sent the browser back with; each flow comes back once."""
    provider, now = provider_of(accounts), accounts.clock()
    flow = flows.resume(accounts.keys, cookie, state, now)
    if not accounts.spent_flows.spend(flow.id, flow.expires_s, now.timestamp()):
        raise NotSignedInError("this sign-in came back before; begin again")
    if issuer is not None and issuer != accounts.settings.oidc_issuer:
        raise NotSignedInError("another provider answered; begin again")
    if code is None or error is not None:
        said = error if error is not None and _CODE.fullmatch(error) else "no reason"
        raise NotSignedInError(f"the sign-in provider let nobody in: {said}")
    token = provider.redeem(code, flow.verifier, _redirect(accounts))
    found = identities.check(accounts.settings, provider, token, flow.nonce, now)
    _require_domain(accounts, found)
    return Arrival(flow, flows.issue(accounts.keys, flow, found, now))


def finish(
    accounts: Accounts,
    ticket: str,
    address: str,
    *,
    verifier: str | None = None,
    code: str | None = None,
    invitation: str | None = None,
) -> tuple[UserFields, bool]:
    """Return whose account this is, and whether the provider saw a second factor; a session is opened next.

    ``invitation`` links an account to the person; where that has a second factor, its own code is needed,
    whatever the provider saw. A ticket is spent by this, unless it raises `SecondFactorRequiredError` or
    `WrongCredentialsError`: then it may come again with a code.
    """
    found = flows.read(accounts.keys, ticket, verifier, accounts.clock())
    with accounts.database.read() as db:
        user = _linked(db, accounts, found.identity)
    if user is None and invitation is not None:
        user = _accept(accounts, found, invitation, code, address)
    else:
        user = user or _make(accounts, found)
        _require_open(user)
        if user.totp_active and not found.identity.strong:
            _require_code(accounts, user, code, address)
    _spend(accounts, found)
    return user, found.identity.strong


def link_own(
    accounts: Accounts, caller: Principal, ticket: str, verifier: str, password: str, address: str
) -> None:
    """Link the caller's account to the person of a ticket, with the account's password."""
    if caller.limited_to is not None or "@" in caller.name:
        raise AuthorizationError("only an account that signed in here, with all that it may do, is linked")
    user = check_password(accounts, caller, password, address)
    found = flows.read(accounts.keys, ticket, verifier, accounts.clock())
    _spend(accounts, found)
    with accounts.database.write() as db:
        row = db.get_one(accounts.tables.user, user.id, with_for_update=True)
        _link(db, accounts, caller, row, found.identity.key)


def link(accounts: Accounts, caller: Principal, username: str, subject: str | None) -> None:
    """Link an account to the provider's subject, or to nobody; for those who manage it.

    Its sessions and tokens end.
    """
    if subject is not None:
        provider_of(accounts)
    with accounts.database.write() as db:
        user = managed(db, accounts, caller, username, locked=True)
        if user.id == caller.user_id or "@" in username:
            raise AuthorizationError("one's own account takes its password; an identity of a gateway none")
        key = None if subject is None else f"{accounts.settings.oidc_issuer} {subject}"
        _link(db, accounts, caller, user, key)
        revoke_all(db, accounts, user.id)
        forget(db, accounts, user.id)


def provider_of(accounts: Accounts) -> Provider:
    """Return the provider, or raise `ObjectNotFoundError` where nobody signs in through one."""
    if accounts.provider is None:
        raise ObjectNotFoundError("nobody signs in through a provider here")
    return accounts.provider


def _linked(db: Session, accounts: Accounts, identity: Identity) -> UserFields | None:
    table = accounts.tables.user
    return db.exec(select(table).where(col(table.oidc_key) == identity.key)).one_or_none()


def _link(
    db: Session, accounts: Accounts, caller: Principal | None, user: UserFields, key: str | None
) -> None:
    table = accounts.tables.user
    if key is not None and key != user.oidc_key:
        taken = db.exec(select(table.id).where(col(table.oidc_key) == key)).first()
        if taken is not None or user.oidc_key is not None:
            raise ConflictError("this person, or this account, is linked already; undo that first")
    user.oidc_key = key
    db.add(user)
    action = "unlink_user" if key is None else "link_user"
    audit.record(db, accounts.tables.audit, caller, accounts.clock(), action, user.username)


def _accept(
    accounts: Accounts, ticket: Ticket, invitation: str, code: str | None, address: str
) -> UserFields:
    """Link the account of an invitation. Who reads its mail only is no holder of a second factor."""
    row = invitations.known(accounts, invitation, address, resets=False)
    with accounts.database.read() as db:
        found = db.get_one(accounts.tables.user, row.user_id)
    _require_open(found)
    if found.totp_active:
        _require_code(accounts, found, code, address)
    with invitations.redeemed(accounts, row, invitation) as (db, user):
        if user.totp_active and not found.totp_active:
            raise WrongCredentialsError("the account was changed meanwhile; sign in again")
        _link(db, accounts, None, user, ticket.identity.key)
        return user


def _make(accounts: Accounts, ticket: Ticket) -> UserFields:
    """Make an account for somebody who comes first time, if the settings give such people a role."""
    found, settings = ticket.identity, accounts.settings
    roles = (role for group, role in settings.oidc_roles.items() if group in found.groups)
    role = next(roles, settings.oidc_new_accounts)
    if role is None:
        raise NobodyLinkedError("no account here is linked to you; ask an administrator for an invitation")
    if not re.fullmatch(USERNAME_PATTERN, found.name):
        raise NotSignedInError("the provider gives no user name that can be one here; ask an administrator")
    now = accounts.clock()
    user = accounts.tables.user(
        id=new_id("usr"),
        username=found.name,
        role=RoleName(role).value,
        oidc_key=found.key,
        email=found.email,
        email_confirmed=found.email is not None,
        created_at=now,
    )
    with accounts.database.write() as db:
        if user_named(db, accounts, found.name) is not None:
            raise AlreadyExistsError(
                f"the user name '{found.name}' is taken here; if it is yours, link the account first"
            )
        if accounts.named(db, found.name):
            raise NobodyLinkedError(
                f"the user name '{found.name}' is kept for somebody here; an administrator may invite you"
            )
        db.add(user)
        said = "came from the provider"
        audit.record(db, accounts.tables.audit, None, now, "create_user", user.username, reason=said)
    return user


def _require_open(user: UserFields) -> None:
    if user.disabled:
        raise NotSignedInError("this account is locked")


def _require_code(accounts: Accounts, user: UserFields, code: str | None, address: str) -> None:
    if code is None:
        record_refusal(accounts, user.username, address, "the code is missing")
        raise SecondFactorRequiredError("this account has a second factor: send its code too")
    with guess_limits(accounts, user.username, address):
        if not spend_code(accounts, user.id, code):
            record_refusal(accounts, user.username, address, "the code is wrong")
            raise WrongCredentialsError("the code does not fit, or was used")


def _require_domain(accounts: Accounts, identity: Identity) -> None:
    domains = accounts.settings.oidc_email_domains
    domain = (identity.email or "").rpartition("@")[2].lower()
    if domains and domain not in domains:
        raise NotSignedInError("only people with a verified address of certain domains may come here")


def _spend(accounts: Accounts, ticket: Ticket) -> None:
    if not accounts.spent_flows.spend(ticket.id, ticket.expires_s, accounts.clock().timestamp()):
        raise NotSignedInError("this sign-in was used; begin again")


def _redirect(accounts: Accounts) -> str:
    return accounts.settings.url() + CALLBACK
