"""What a running server is made of, and how handlers reach it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from gridward.core.errors import AuthorizationError, NotSignedInError
from gridward.server import browser, service_tokens, sessions
from gridward.server.accounts import Accounts
from gridward.server.db import Database
from gridward.server.ids import Clock
from gridward.server.keys import Keys
from gridward.server.principals import Principal
from gridward.server.signing import ReplayGuard

LEAST_FREE_BYTES: Final = 64 * 2**20
_BEFORE_SECOND_FACTOR: Final = ("/v1/users/me", "/v1/sessions")


@dataclass(kw_only=True)
class Server:
    """The parts of one running service. Node and gateway each extend it with theirs."""

    keys: Keys
    database: Database
    accounts: Accounts
    replays: ReplayGuard
    clock: Clock

    def authenticate(self, token: str) -> Principal:
        """Return whose Bearer token this is, or raise `NotSignedInError`."""
        if service_tokens.is_one(token):
            return service_tokens.authenticate(self.accounts, token)
        return sessions.authenticate(self.accounts, token)

    def unready(self) -> list[str]:
        """Name the parts without which no request is served: nothing else is said of them."""
        return [name for name, answers in self.parts().items() if not answers]

    def parts(self) -> dict[str, bool]:
        """Say which parts answer."""
        try:
            answers = self.database.is_ready()
        except SQLAlchemyError:
            answers = False
        free_bytes = shutil.disk_usage(self.accounts.settings.data_dir).free
        return {"the database": answers, "room on the disk": free_bytes >= LEAST_FREE_BYTES}

    def vouch_browser(self, cookie: str, most_bytes: int) -> int:
        """Say the same of a browser's cookie."""
        return most_bytes if browser.authenticate(self.accounts, cookie).user_id is not None else 0

    def vouch(self, token: str, most_bytes: int) -> int:
        """Say how large a body may be that comes with this token; asked before more than a little is read.

        At most ``most_bytes``; 0 is no more than a stranger may send, as for an identity without rights here.
        Raises a refusal if the token is not genuine.
        """
        return most_bytes if self.authenticate(token).user_id is not None else 0


def server_of(request: Request) -> Server:
    """Return the server that handles this request."""
    server = request.app.state.server
    if not isinstance(server, Server):
        raise TypeError("the app was built without a server")
    return server


_bearer = HTTPBearer(
    auto_error=False, description="Access token of a session, or a gateway's identity token."
)


def bearer_token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    """Return the request's Bearer token, or raise `NotSignedInError`."""
    if credentials is None:
        raise NotSignedInError("sign in first: this needs `Authorization: Bearer …`")
    return credentials.credentials


BearerToken: TypeAlias = Annotated[str, Depends(bearer_token)]


def caller_of(request: Request, token: BearerToken) -> Principal:
    """Return who is calling. The token decides, nothing in the body or the path.

    Who lacks the second factor that the role needs gets as far as to set it up.
    """
    caller = server_of(request).authenticate(token)
    require_second_factor(request, caller)
    return caller


def require_second_factor(request: Request, caller: Principal) -> None:
    """Raise `AuthorizationError` for who lacks the one that the role needs, but where it is set up."""
    path = request.scope["path"]
    may_go_on = any(path == place or path.startswith(f"{place}/") for place in _BEFORE_SECOND_FACTOR)
    if caller.limited_to == frozenset() and not may_go_on:
        raise AuthorizationError(f"'{caller.name}' has to set up a second factor first; the role needs one")


def read_transaction(request: Request) -> Iterator[Session]:
    """Give a transaction that cannot write."""
    with server_of(request).database.read() as session:
        yield session


def write_transaction(request: Request) -> Iterator[Session]:
    """Commit once if the handler returned, roll back if it raised."""
    with server_of(request).database.write() as session:
        yield session


def address_of(request: Request) -> str:
    """Return the peer's address, for rate limits and the log."""
    return request.client.host if request.client else "unknown"


async def raw_body(request: Request) -> bytes:
    """Return the request's body as it came, for signatures."""
    return await request.body()


Caller: TypeAlias = Annotated[Principal, Depends(caller_of)]
ReadDb: TypeAlias = Annotated[Session, Depends(read_transaction, scope="function")]
WriteDb: TypeAlias = Annotated[Session, Depends(write_transaction, scope="function")]
Address: TypeAlias = Annotated[str, Depends(address_of)]
RawBody: TypeAlias = Annotated[bytes, Depends(raw_body)]


def accounts_of(request: Request) -> Accounts:
    """Return the accounts of the server that handles this request."""
    return server_of(request).accounts


AccountsOf: TypeAlias = Annotated[Accounts, Depends(accounts_of)]
