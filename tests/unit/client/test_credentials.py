import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from gridward.client.credentials import GatewayIdentity, PasswordSession
from gridward.client.transport import Transport
from gridward.core.errors import NotSignedInError, WrongCredentialsError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Sessions and identity tokens, numbered; a refresh token works once."""

    def __init__(self) -> None:
        self.issued = 0
        self.ended = False
        self.lock = threading.Lock()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        with self.lock:
            body = httpx2.Response(200, content=request.content).json()
            if request.url.path == "/v1/sessions":
                if body["password"] != "correct horse":
                    return refusal("wrong_credentials")
            elif request.url.path == "/v1/sessions/refresh":
                if self.ended or body["refresh_token"] != f"refresh-{self.issued}":
                    return refusal("not_signed_in")
            else:
                assert body == {"audience": "node-id"}
            self.issued += 1
            return httpx2.Response(
                200,
                json={
                    "session_id": "s",
                    "access_token": f"access-{self.issued}",
                    "refresh_token": f"refresh-{self.issued}",
                    "token": f"identity-{self.issued}",
                    "expires_in_s": 300,
                },
            )

    def transport(self) -> Transport:
        return Transport("http://grid.test", http=httpx2.Client(transport=httpx2.MockTransport(self)))


def refusal(code: str) -> httpx2.Response:
    return httpx2.Response(401, json={"code": code, "detail": "no", "title": "No"})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(issuer: Issuer, clock: Clock) -> PasswordSession:
    return PasswordSession.open(issuer.transport(), "bob", "correct horse", clock)


def test_a_wrong_password_is_refused(issuer: Issuer) -> None:
    with pytest.raises(WrongCredentialsError):
        PasswordSession.open(issuer.transport(), "bob", "wrong")


def test_the_password_is_not_kept(session: PasswordSession) -> None:
    assert "correct horse" not in repr(vars(session))


def test_a_token_is_used_until_shortly_before_it_expires(session: PasswordSession, clock: Clock) -> None:
    clock.now = 269.0
    assert session.token() == "access-1"
    clock.now = 271.0
    assert session.token() == "access-2"


def test_many_threads_with_one_refused_token_refresh_once(session: PasswordSession, issuer: Issuer) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(session.renew, ["access-1"] * 32))
    assert issuer.issued == 2
    assert session.token() == "access-2"


def test_a_session_that_the_server_ended_says_to_sign_in_again(
    session: PasswordSession, issuer: Issuer
) -> None:
    issuer.ended = True
    with pytest.raises(NotSignedInError, match="sign in again"):
        session.renew("access-1")


def test_an_identity_token_is_fetched_for_its_node_when_needed(issuer: Issuer, clock: Clock) -> None:
    identity = GatewayIdentity(issuer.transport(), "node-id", clock)
    assert issuer.issued == 0
    assert identity.token() == identity.token() == "identity-1"
    clock.now = 271.0
    assert identity.token() == "identity-2"


def test_many_threads_with_one_refused_identity_fetch_once(issuer: Issuer, clock: Clock) -> None:
    identity = GatewayIdentity(issuer.transport(), "node-id", clock)
    stale = identity.token()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(identity.renew, [stale] * 32))
    assert issuer.issued == 2
