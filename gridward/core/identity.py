"""Public keys and ids on the wire: the id of a node or gateway is derived from its signing key.

So a key proves an id without any registry.
"""

import hashlib
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gridward.core.errors import InvalidInputError

ID_LENGTH: Final = 26


def encode_key(raw: bytes) -> str:
    """Write a 32-byte public key as base64url without padding, 43 characters."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_key(text: str) -> bytes:
    """Read a 32-byte public key from the wire, or raise `InvalidInputError`."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=")
    except ValueError as why:
        raise InvalidInputError("a key is 43 characters of base64url") from why
    if len(raw) != 32 or encode_key(raw) != text:
        raise InvalidInputError("a key is 43 characters of base64url")
    return raw


def read_sign_key(text: str) -> Ed25519PublicKey:
    """Read a public signing key from the wire, or raise `InvalidInputError`."""
    return Ed25519PublicKey.from_public_bytes(decode_key(text))


def id_of(sign_key_text: str) -> str:
    """Return the id that belongs to a public signing key: 26 characters of base32 of its SHA-256."""
    return b32encode(hashlib.sha256(decode_key(sign_key_text)).digest()).decode().lower()[:ID_LENGTH]
