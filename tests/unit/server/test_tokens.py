import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from gridward.core.errors import NotSignedInError
from gridward.server import tokens
from gridward.server.keys import Keys
from gridward.server.tokens import ALGORITHM, Kind

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = b"s" * 32


def private(kind: Kind, keys: Keys) -> tokens.PrivateKey:
    return SECRET if ALGORITHM[kind] == "HS256" else keys.sign_key


def public(kind: Kind, keys: Keys) -> tokens.PublicKey:
    return SECRET if ALGORITHM[kind] == "HS256" else keys.sign_key.public_key()


def issue(kind: Kind, keys: Keys, **changed: Any) -> str:
    said: dict[str, Any] = {"issuer": "i", "subject": "s", "audience": "a", "now": NOW, "lifetime_s": 60}
    return tokens.issue(kind, private(kind, keys), **(said | changed))


def read(kind: Kind, keys: Keys, token: str, now: datetime = NOW) -> tokens.Claims:
    return tokens.read(kind, token, public(kind, keys), issuer="i", audience="a", now=now)


def forge(claims: dict[str, Any], header: dict[str, Any], keys: Keys) -> str:
    algorithm = header.get("alg", "EdDSA")
    key: Any = {"EdDSA": keys.sign_key, "HS256": SECRET, "none": None}[algorithm]
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)


def good_claims(**changed: Any) -> dict[str, Any]:
    at = int(NOW.timestamp())
    said = {"iss": "i", "sub": "s", "aud": "a", "iat": at, "exp": at + 60, "jti": "j"} | changed
    return {name: value for name, value in said.items() if value is not None}


def test_every_kind_has_one_algorithm() -> None:
    assert set(ALGORITHM) == set(Kind)
    assert set(ALGORITHM.values()) == {"HS256", "EdDSA"}


@pytest.mark.parametrize("kind", Kind)
def test_a_token_is_read_back_with_its_extra_claims(kind: Kind, keys: Keys) -> None:
    claims = read(kind, keys, issue(kind, keys, extra={"sid": "x", "sub": "not this"}))
    assert (claims["sub"], claims["sid"], len(claims["jti"]) > 16) == ("s", "x", True)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("changed", [{"issuer": "j"}, {"audience": "b"}, {"lifetime_s": -11}])
def test_another_issuer_audience_or_time_is_refused(kind: Kind, keys: Keys, changed: dict[str, Any]) -> None:
    with pytest.raises(NotSignedInError):
        read(kind, keys, issue(kind, keys, **changed))


@pytest.mark.parametrize("kind", Kind)
def test_a_token_ends_and_is_not_valid_before_its_time(kind: Kind, keys: Keys) -> None:
    token = issue(kind, keys)
    read(kind, keys, token, NOW + timedelta(seconds=69))
    with pytest.raises(NotSignedInError, match="expired"):
        read(kind, keys, token, NOW + timedelta(seconds=70))
    with pytest.raises(NotSignedInError):
        read(kind, keys, token, NOW - timedelta(seconds=11))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("other", Kind)
def test_a_token_of_one_kind_never_passes_for_another(kind: Kind, other: Kind, keys: Keys) -> None:
    if kind is other:
        return
    key = keys.sign_key if ALGORITHM[other] == "EdDSA" else SECRET
    token = tokens.issue(other, key, issuer="i", subject="s", audience="a", now=NOW, lifetime_s=60)
    with pytest.raises(NotSignedInError):
        read(kind, keys, token)


@pytest.mark.parametrize("missing", ["iss", "sub", "aud", "iat", "exp", "jti"])
def test_a_token_without_one_of_its_claims_is_refused(missing: str, keys: Keys) -> None:
    header = {"alg": "HS256", "typ": Kind.ACCESS.value}
    read(Kind.ACCESS, keys, forge(good_claims(), header, keys))
    with pytest.raises(NotSignedInError):
        read(Kind.ACCESS, keys, forge(good_claims(**{missing: None}), header, keys))


@pytest.mark.parametrize(
    "changed",
    [{"exp": "tomorrow"}, {"exp": float("inf")}, {"exp": float("nan")}, {"aud": ["a", "b"]}, {"iat": "now"}],
)
def test_claims_of_a_wrong_form_are_refused(changed: dict[str, Any], keys: Keys) -> None:
    header = {"alg": "HS256", "typ": Kind.ACCESS.value}
    with pytest.raises(NotSignedInError):
        read(Kind.ACCESS, keys, forge(good_claims(**changed), header, keys))


@pytest.mark.parametrize("kind", Kind)
def test_an_unsigned_token_is_refused(kind: Kind, keys: Keys) -> None:
    with pytest.raises(NotSignedInError):
        read(kind, keys, forge(good_claims(), {"alg": "none", "typ": kind.value}, keys))


def test_a_public_key_used_as_a_shared_secret_is_refused(keys: Keys) -> None:
    raw = keys.sign_key.public_key().public_bytes_raw()
    token = jwt.encode(good_claims(), raw, algorithm="HS256", headers={"typ": Kind.IDENTITY.value})
    with pytest.raises(NotSignedInError):
        read(Kind.IDENTITY, keys, token)


def test_another_key_is_refused(keys: Keys, other_keys: Keys) -> None:
    with pytest.raises(NotSignedInError):
        read(Kind.IDENTITY, keys, issue(Kind.IDENTITY, other_keys))


def test_a_changed_claim_breaks_the_signature(keys: Keys) -> None:
    head, _, signature = issue(Kind.IDENTITY, keys).split(".")
    raised = urlsafe_b64encode(json.dumps(good_claims(sub="owner")).encode()).rstrip(b"=").decode()
    with pytest.raises(NotSignedInError):
        read(Kind.IDENTITY, keys, f"{head}.{raised}.{signature}")


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "\u0000", "Bearer x"])
def test_what_is_no_token_is_refused_even_for_a_peek(text: str) -> None:
    with pytest.raises(NotSignedInError):
        tokens.peek(text)


def test_a_peek_tells_kind_and_issuer_only(keys: Keys) -> None:
    assert tokens.peek(issue(Kind.REQUEST, keys)) == (Kind.REQUEST.value, "i")
