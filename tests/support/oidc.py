"""A real OpenID Connect provider on loopback, which can be told to lie in its tokens."""

import base64
import hashlib
import io
import json
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the provider uses a part of Authlib that is to go
    import oidc_provider_mock

CLIENT: Final = "gridward node"
SECRET: Final = "between us, the provider"
Claims = dict[str, Any]


@dataclass
class ProviderUnderTest:
    """The provider: people are made with their claims; `lie` changes the claims of the tokens that follow.

    It is also strict about what Gridward must send: the client's secret and the code's verifier.
    """

    issuer: str = ""
    lie: Callable[[Claims], Claims] = field(default=lambda claims: claims)
    sign: "Callable[[ProviderUnderTest, Claims], str] | None" = None
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    down: bool = False
    redeemed: int = 0
    _challenges: dict[str, str] = field(default_factory=dict)
    _inner: Any = None

    def person(self, subject: str, **claims: object) -> None:
        """Make somebody who can sign in there."""
        answer = httpx2.put(f"{self.issuer}/users/{subject}", json=claims, trust_env=False)
        assert answer.status_code == 204, answer.text

    def consent(self, address: str, subject: str, action: str = "") -> str:
        """Sign in at the address that a browser was sent to, and return where it is sent back to."""
        form = {"sub": subject} | ({"action": action} if action else {})
        answer = httpx2.post(address, data=form, follow_redirects=False, trust_env=False)
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if self.down:
            start("503 Down", [("Content-Type", "text/plain")])
            return [b"down"]
        if path == "/jwks":
            return _json(start, {"keys": [self.key.as_dict(private=False)]})
        if path == "/oauth2/authorize":
            asked = {name: said[0] for name, said in parse_qs(environ["QUERY_STRING"]).items()}
            assert asked["code_challenge_method"] == "S256"
            self._challenges[asked["state"]] = asked["code_challenge"]
        if path != "/oauth2/token":
            inner: Iterable[bytes] = self._inner(environ, start)
            return inner
        return self._redeem(environ, start)

    def _redeem(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        sent = {name: said[0] for name, said in parse_qs(body.decode()).items()}
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).decode().rstrip("=") in self._challenges.values()
        basic = base64.b64encode(f"{quote(CLIENT)}:{quote(SECRET)}".encode()).decode()
        assert environ["HTTP_AUTHORIZATION"] == f"Basic {basic}"
        self.redeemed += 1
        said: list[Any] = []

        def note(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            said.append((status, headers))

        text = b"".join(self._inner(environ | {"wsgi.input": io.BytesIO(body)}, note))
        if not said[0][0].startswith("200"):
            start(*said[0])
            return [text]
        tokens = json.loads(text)
        claims = self.lie(json.loads(_decoded(tokens["id_token"].split(".")[1])))
        tokens["id_token"] = self.sign(self, claims) if self.sign else self.signed(claims)
        return _json(start, tokens)

    def signed(self, claims: Claims, **header: str) -> str:
        """Sign with the provider's key."""
        return jwt.encode({"alg": "RS256", "kid": "one", **header}, claims, self.key)


def unsigned(_provider: ProviderUnderTest, claims: Claims) -> str:
    """A token with the algorithm `none`."""
    return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(claims)}."


@contextmanager
def running_provider() -> Iterator[ProviderUnderTest]:
    """Serve a provider until the block ends."""
    provider = ProviderUnderTest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        provider._inner = oidc_provider_mock.app(require_nonce=True)
    server = make_server("localhost", 0, provider, threaded=True)
    provider.issuer = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def query(url: str) -> dict[str, str]:
    """What an address carries."""
    return {name: said[0] for name, said in parse_qs(httpx2.URL(url).query.decode()).items()}


def back(url: str, **changed: str) -> str:
    """Path and query of an address, for a test client, with parts changed."""
    return f"{httpx2.URL(url).path}?{urlencode(query(url) | changed)}"


def _json(start: Callable[..., Any], said: Mapping[str, object]) -> list[bytes]:
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]


def _encoded(part: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
