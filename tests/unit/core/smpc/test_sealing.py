import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.sealing import OVERHEAD_BYTES, public_key, seal, unseal

PRIVATE = bytes(range(32))


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()[:length]


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.new(salt, b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return _expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


def hpke_seal(recipient: bytes, ephemeral: bytes, plaintext: bytes, info: bytes) -> bytes:
    """RFC 9180, SetupBaseS and Seal, written out from sections 4.1, 5.1 and 5.2."""
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"
    key = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = key.public_key().public_bytes_raw()
    shared = key.exchange(X25519PublicKey.from_public_bytes(recipient))
    eae = _labeled_extract(kem, b"", b"eae_prk", shared)
    secret = _labeled_expand(kem, eae, b"shared_secret", enc + recipient, 32)
    psk_hash = _labeled_extract(suite, b"", b"psk_id_hash", b"")
    info_hash = _labeled_extract(suite, b"", b"info_hash", info)
    context = b"\x00" + psk_hash + info_hash
    schedule = _labeled_extract(suite, secret, b"secret", b"")
    aead_key = _labeled_expand(suite, schedule, b"key", context, 32)
    nonce = _labeled_expand(suite, schedule, b"base_nonce", context, 12)
    return enc + AESGCM(aead_key).encrypt(nonce, plaintext, b"")


def test_what_an_independent_sender_made_by_the_rfc_is_unsealed() -> None:
    sealed = hpke_seal(public_key(PRIVATE), b"\x07" * 32, b"a seed", b"query 1")
    assert unseal(PRIVATE, sealed, "query 1") == b"a seed"


def test_sealing_twice_gives_different_bytes_that_open_to_the_same() -> None:
    first, second = (seal(public_key(PRIVATE), b"a seed", "query 1") for _ in range(2))
    assert first != second
    assert unseal(PRIVATE, first, "query 1") == unseal(PRIVATE, second, "query 1") == b"a seed"
    assert len(first) == len(b"a seed") + OVERHEAD_BYTES


def test_another_purpose_does_not_open() -> None:
    with pytest.raises(InvalidInputError):
        unseal(PRIVATE, seal(public_key(PRIVATE), b"a seed", "query 1"), "query 2")


def test_another_key_does_not_open() -> None:
    with pytest.raises(InvalidInputError):
        unseal(b"\x01" * 32, seal(public_key(PRIVATE), b"a seed", "query 1"), "query 1")


@pytest.mark.parametrize("at", [0, 31, 32, 40, -1])
def test_any_changed_byte_is_noticed(at: int) -> None:
    sealed = bytearray(seal(public_key(PRIVATE), b"a seed", "query 1"))
    sealed[at] ^= 1
    with pytest.raises(InvalidInputError):
        unseal(PRIVATE, bytes(sealed), "query 1")


@pytest.mark.parametrize("length", [0, 31, 47])
def test_too_few_bytes_are_refused(length: int) -> None:
    with pytest.raises(InvalidInputError):
        unseal(PRIVATE, seal(public_key(PRIVATE), b"", "p")[:length], "p")


@pytest.mark.parametrize("key", [bytes(32), bytes(31)])
def test_degenerate_public_keys_are_refused(key: bytes) -> None:
    with pytest.raises(InvalidInputError):
        seal(key, b"a seed", "query 1")
