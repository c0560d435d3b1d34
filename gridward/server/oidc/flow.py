"""What a browser carries while its person is at the provider, and what comes of it.

Both are sealed: only this server can make or read them. A flow lies in a cookie and is bound to the `state`
of its address, so that nobody finishes in one browser what began in another. A ticket is what a checked ID
token said; a program's is worth nothing without the secret that the program kept (RFC 7636).
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from pydantic import TypeAdapter, ValidationError

from gridward.core.errors import NotSignedInError
from gridward.server.ids import new_id
from gridward.server.keys import Keys
from gridward.server.oidc.identity import Identity
from gridward.server.sealed import seal, unseal

FLOW_S: Final = 600.0
TICKET_S: Final = 300.0
_FLOW: Final = "oidc-flow"
_TICKET: Final = "oidc-ticket"


@dataclass(frozen=True, slots=True)
class Loopback:
    """A program that waits on this machine's loopback (RFC 8252, 7.3): its port, its challenge, its state."""

    port: int
    challenge: str
    state: str


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in under way."""

    id: str
    nonce: str
    verifier: str
    next: str
    loopback: Loopback | None
    expires_s: float


@dataclass(frozen=True, slots=True)
class Ticket:
    """A person who was at the provider, and has no session here yet."""

    id: str
    identity: Identity
    challenge: str | None
    expires_s: float


_FLOWS: Final = TypeAdapter(Flow)
_TICKETS: Final = TypeAdapter(Ticket)


def begin(keys: Keys, next_path: str, loopback: Loopback | None, now: datetime) -> tuple[Flow, str, str]:
    """Return a new flow, its state, and the cookie."""
    flow = Flow(
        id=new_id("flow"),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        next=next_path,
        loopback=loopback,
        expires_s=now.timestamp() + FLOW_S,
    )
    state = secrets.token_urlsafe(32)
    return flow, state, seal(keys, _FLOW, state, _FLOWS.dump_json(flow))


def resume(keys: Keys, cookie: str | None, state: str, now: datetime) -> Flow:
    """Return the flow that this browser began with this state, or raise `NotSignedInError`."""
    plain = None if cookie is None else unseal(keys, _FLOW, state, cookie)
    flow = None if plain is None else _FLOWS.validate_json(plain)
    if flow is None or now.timestamp() >= flow.expires_s:
        raise NotSignedInError("this sign-in did not begin in this browser, or took too long; begin again")
    return flow


def issue(keys: Keys, flow: Flow, identity: Identity, now: datetime) -> str:
    """Return a ticket for whom the provider named."""
    challenge = None if flow.loopback is None else flow.loopback.challenge
    ticket = Ticket(new_id("tick"), identity, challenge, now.timestamp() + TICKET_S)
    return seal(keys, _TICKET, "", _TICKETS.dump_json(ticket))


def read(keys: Keys, ticket: str, verifier: str | None, now: datetime) -> Ticket:
    """Return a ticket, if the program's secret belongs to it; a browser's ticket has none."""
    plain = unseal(keys, _TICKET, "", ticket)
    try:
        found = None if plain is None else _TICKETS.validate_json(plain)
    except ValidationError:
        found = None
    challenge = None if verifier is None else create_s256_code_challenge(verifier)
    if found is None or now.timestamp() >= found.expires_s or found.challenge != challenge:
        raise NotSignedInError("this sign-in took too long, or is of another program; begin again")
    return found
