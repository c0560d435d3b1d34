"""Seal bytes to a public key: HPKE base mode (RFC 9180) with X25519, HKDF-SHA256, AES-256-GCM."""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from gridward.core.errors import InvalidInputError

KEY_BYTES: Final = 32
OVERHEAD_BYTES: Final = 48
"""Sealed bytes are longer by the encapsulated key (32) and the tag (16)."""


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def public_key(private_key: bytes) -> bytes:
    """Give the 32-byte public key of a private key; any 32 unpredictable bytes are a private key."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def seal(recipient: bytes, plaintext: bytes | memoryview, purpose: str) -> bytes:
    """Encrypt for the holder of the private key to ``recipient`` (32 bytes), bound to ``purpose``.

    Security: only the recipient reads it and any change is noticed; it does not say who sent it. The purpose
    names recipient role, deployment and serial, so that one sealed packet cannot stand for another.
    """
    if len(recipient) != KEY_BYTES:
        raise InvalidInputError(f"a public key has {KEY_BYTES} bytes, not {len(recipient)}")
    key = X25519PublicKey.from_public_bytes(recipient)
    try:
        return _suite().encrypt(plaintext, key, info=purpose.encode())
    except ValueError as why:
        raise InvalidInputError("this public key cannot be sealed to") from why


def unseal(private_key: bytes, sealed: bytes | bytearray | memoryview, purpose: str) -> bytes:
    """Open what ``seal`` made; raises ``InvalidInputError`` for another key, purpose or changed bytes."""
    key = X25519PrivateKey.from_private_bytes(private_key)
    try:
        return _suite().decrypt(sealed, key, info=purpose.encode())
    except (InvalidTag, ValueError) as why:
        raise InvalidInputError("sealed for another key or purpose, or changed on the way") from why
