"""Time-based codes (TOTP, RFC 6238: SHA-1, 6 digits, 30 s) and single-use recovery codes.

A secret is stored sealed by a key that is not in the database, a recovery code as its SHA-256.
"""

import hashlib
import secrets
from base64 import b32encode
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from gridward.core.errors import ConflictError
from gridward.server import sealed
from gridward.server.keys import Keys

_STEP_S: Final = 30
_DIGITS: Final = 6
_SECRET_BYTES: Final = 20
_PURPOSE: Final = "totp"
_RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10
_STEPS_AROUND: Final = (-1, 0, 1)
"""Clocks of phones may be a step off either way."""


def new_secret() -> bytes:
    """Draw a secret of 160 bits (RFC 4226, 4)."""
    return secrets.token_bytes(_SECRET_BYTES)


def seal(keys: Keys, user_id: str, secret: bytes) -> str:
    """Encrypt a secret for the row of this account, hex."""
    return sealed.seal(keys, _PURPOSE, user_id, secret)


def unseal(keys: Keys, user_id: str, text: str) -> bytes:
    """Decrypt what ``seal`` made; raises `ConflictError` for another account's, or another server's."""
    secret = sealed.unseal(keys, _PURPOSE, user_id, text)
    if secret is None:
        raise ConflictError("the second factor cannot be read; an administrator may remove it")
    return secret


def address(secret: bytes, account: str, issuer: str) -> str:
    """Return the `otpauth://` address that authenticator apps read, as text or as a QR code."""
    return _totp(secret).get_provisioning_uri(account, issuer)


def step_of(secret: bytes, code: str, now: datetime, after: int) -> int | None:
    """Return the time step that a code is of, if it is a current one later than step ``after``."""
    current = int(now.timestamp()) // _STEP_S
    for step in (current + around for around in _STEPS_AROUND):
        try:
            _totp(secret).verify(code.encode(), step * _STEP_S)
        except (InvalidToken, TypeError):
            continue
        return step if step > after else None
    return None


def new_recovery_codes() -> list[str]:
    """Draw ten codes of 80 bits for when the device is lost."""
    drawn = (b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower() for _ in range(_RECOVERY_CODES))
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in drawn]


def hash_recovery(code: str) -> str:
    """Return what is stored of a recovery code; case, spaces and dashes do not count."""
    plain = "".join(sign for sign in code.lower() if sign.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, _DIGITS, SHA1(), _STEP_S)  # noqa: S303 (what RFC 6238 and every app have)
