"""Short secrets at rest or on their way: encrypted by a key that is derived from the server's token secret.

Each purpose has a key of its own, and each text is bound to what it is about: neither passes for another.
"""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gridward.server.keys import Keys

_NONCE_BYTES: Final = 12


def seal(keys: Keys, purpose: str, about: str, secret: bytes) -> str:
    """Encrypt, hex."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return (nonce + _cipher(keys, purpose).encrypt(nonce, secret, about.encode())).hex()


def unseal(keys: Keys, purpose: str, about: str, sealed: str) -> bytes | None:
    """Decrypt what ``seal`` made for the same purpose and subject; None for anything else."""
    try:
        raw = bytes.fromhex(sealed)
        return _cipher(keys, purpose).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError):
        return None


def _cipher(keys: Keys, purpose: str) -> ChaCha20Poly1305:
    derived = HKDF(SHA256(), 32, salt=None, info=f"gridward.{purpose}.1".encode()).derive(keys.token_secret)
    return ChaCha20Poly1305(derived)
