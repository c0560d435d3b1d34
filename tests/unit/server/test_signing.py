from datetime import UTC, datetime, timedelta

import pytest

from gridward.core.errors import NotSignedInError
from gridward.server import tokens
from gridward.server.keys import Keys
from gridward.server.signing import ReplayGuard, sign_request, verify_request

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TARGET = "POST /v1/nodes"


def sign(keys: Keys, body: bytes = b"{}", target: str = TARGET) -> str:
    return sign_request(keys, "gateway", body, target=target, clock=lambda: NOW)


def verify(
    token: str,
    keys: Keys,
    guard: ReplayGuard,
    *,
    body: bytes = b"{}",
    audience: str = "gateway",
    target: str = TARGET,
    after_s: float = 0,
) -> None:
    now = NOW + timedelta(seconds=after_s)
    key = keys.sign_key.public_key()
    verify_request(token, key, audience, body, guard, issuer=keys.id, target=target, clock=lambda: now)


def test_a_signed_request_counts_once(keys: Keys) -> None:
    guard = ReplayGuard()
    token = sign(keys)
    verify(token, keys, guard)
    with pytest.raises(NotSignedInError, match="used before"):
        verify(token, keys, guard)


def test_a_replay_is_refused_up_to_the_last_moment_of_the_token(keys: Keys) -> None:
    guard = ReplayGuard()
    token = sign(keys)
    verify(token, keys, guard)
    for after_s in (1, 59, 69.9):
        with pytest.raises(NotSignedInError, match="used before"):
            verify(token, keys, guard, after_s=after_s)
    with pytest.raises(NotSignedInError, match="expired"):
        verify(token, keys, guard, after_s=70)


def test_a_signature_is_for_one_body_one_receiver_and_one_route(keys: Keys) -> None:
    for changed in ({"body": b"{} "}, {"audience": "other"}, {"target": "PUT /v1/nodes"}):
        with pytest.raises(NotSignedInError):
            verify(sign(keys), keys, ReplayGuard(), **changed)  # type: ignore[arg-type]


def test_the_key_of_another_node_is_refused(keys: Keys, other_keys: Keys) -> None:
    with pytest.raises(NotSignedInError):
        verify(sign(other_keys), keys, ReplayGuard())


def test_a_signature_that_would_live_longer_than_a_minute_is_refused(keys: Keys) -> None:
    body = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    token = tokens.issue(
        tokens.Kind.REQUEST,
        keys.sign_key,
        issuer=keys.id,
        subject=keys.id,
        audience="gateway",
        now=NOW,
        lifetime_s=61,
        extra={"body": body, "target": TARGET},
    )
    with pytest.raises(NotSignedInError, match="minute"):
        verify(token, keys, ReplayGuard())


def test_a_refused_signature_does_not_use_up_its_id(keys: Keys) -> None:
    guard = ReplayGuard()
    token = sign(keys)
    with pytest.raises(NotSignedInError):
        verify(token, keys, guard, body=b"other")
    verify(token, keys, guard)


def test_the_guard_forgets_what_has_expired(keys: Keys) -> None:
    guard = ReplayGuard()
    for number in range(1000):
        assert guard.spend(str(number), expires_s=number, now_s=number)
    assert len(guard._expiry) < 300
