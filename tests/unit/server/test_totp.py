"""Codes are those of RFC 6238, count once, and sealed secrets open for their own account and server only."""

from datetime import UTC, datetime

import pytest

from gridward.core.errors import ConflictError
from gridward.server import totp
from gridward.server.keys import Keys

RFC_SECRET = b"12345678901234567890"


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (2000000000, "279037")],
)
def test_the_vectors_of_rfc_6238_in_six_digits(seconds: int, code: str) -> None:
    assert totp.step_of(RFC_SECRET, code, at(seconds), after=0) == seconds // 30


def test_a_step_of_clock_difference_is_let_pass_and_two_are_not() -> None:
    step = 1111111109 // 30
    for around, expected in ((-2, None), (-1, step), (0, step), (1, step), (2, None)):
        assert totp.step_of(RFC_SECRET, "081804", at(1111111109 + 30 * around), after=0) == expected


def test_a_step_that_was_used_and_every_earlier_one_count_no_more() -> None:
    step = 1111111109 // 30
    assert totp.step_of(RFC_SECRET, "081804", at(1111111109), after=step) is None
    assert totp.step_of(RFC_SECRET, "081804", at(1111111109), after=step + 1) is None
    assert totp.step_of(RFC_SECRET, "081804", at(1111111109), after=step - 1) == step


@pytest.mark.parametrize("code", ["", "28708", "2870820", "28708\uff12", "abcdef", "-87082", "287082 "])
def test_what_is_no_code_is_none(code: str) -> None:
    assert totp.step_of(RFC_SECRET, code, at(59), after=0) is None


def test_a_sealed_secret_opens_for_its_account_and_server_alone(keys: Keys, other_keys: Keys) -> None:
    secret = totp.new_secret()
    sealed = totp.seal(keys, "usr-1", secret)
    assert secret.hex() not in sealed
    assert totp.unseal(keys, "usr-1", sealed) == secret
    for whose, who in ((keys, "usr-2"), (other_keys, "usr-1")):
        with pytest.raises(ConflictError):
            totp.unseal(whose, who, sealed)


def test_recovery_codes_differ_and_are_recognised_however_they_are_typed() -> None:
    codes = totp.new_recovery_codes()
    assert len({totp.hash_recovery(code) for code in codes}) == 10
    typed = codes[0].upper().replace("-", " ")
    assert totp.hash_recovery(typed) == totp.hash_recovery(codes[0])
