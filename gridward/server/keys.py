"""A server's keys: made once by `gridward init`, in a folder that only its user may read."""

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gridward.core.errors import AlreadyExistsError, InvalidInputError
from gridward.core.identity import encode_key, id_of

_FOLDER: Final = "keys"
_SETUP: Final = "setup-token.sha256"
_SECRETS: Final = ("signing", "sealing", "tokens", "entities")


@dataclass(frozen=True, slots=True)
class Keys:
    """Everything secret of one server. Its repr shows the id only."""

    id: str
    sign_key: Ed25519PrivateKey = field(repr=False)
    seal_key: X25519PrivateKey = field(repr=False)
    token_secret: bytes = field(repr=False)
    entity_secret: bytes = field(repr=False)

    @property
    def sign_key_text(self) -> str:
        """The public signing key, as on the wire."""
        return encode_key(self.sign_key.public_key().public_bytes_raw())

    @property
    def seal_key_text(self) -> str:
        """The public sealing key, as on the wire."""
        return encode_key(self.seal_key.public_key().public_bytes_raw())


def make(data_dir: Path) -> str:
    """Make the key folder and return the owner's one-time token: the only time that it is readable.

    Raises `AlreadyExistsError` if the folder holds keys already. A crash leaves either no keys or all.
    """
    folder = data_dir / _FOLDER
    if folder.exists():
        raise AlreadyExistsError(f"{folder} holds keys already; keys are never overwritten")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    fresh = data_dir / f".{_FOLDER}-{secrets.token_hex(8)}"
    fresh.mkdir(mode=0o700)
    for name in _SECRETS:
        _write(fresh / name, secrets.token_bytes(32).hex())
    token = secrets.token_urlsafe(24)
    _write(fresh / _SETUP, _token_hash(token))
    fresh.rename(folder)
    return token


def load(data_dir: Path) -> Keys:
    """Read the keys. Raises `InvalidInputError` if they are missing, broken or readable by others."""
    folder = data_dir / _FOLDER
    if not folder.is_dir():
        raise InvalidInputError(
            f"{data_dir} holds no keys; make them with: gridward init --data-dir {data_dir}"
        )
    signing, sealing, tokens, entities = (_read(folder / name) for name in _SECRETS)
    sign_key = Ed25519PrivateKey.from_private_bytes(signing)
    public = encode_key(sign_key.public_key().public_bytes_raw())
    return Keys(id_of(public), sign_key, X25519PrivateKey.from_private_bytes(sealing), tokens, entities)


def renew_setup_token(data_dir: Path) -> str:
    """Replace the owner's one-time token, for an owner who lost it before using it."""
    load(data_dir)
    token = secrets.token_urlsafe(24)
    fresh = data_dir / _FOLDER / f".{_SETUP}-{secrets.token_hex(8)}"
    _write(fresh, _token_hash(token))
    fresh.replace(data_dir / _FOLDER / _SETUP)
    return token


def is_setup_token(data_dir: Path, token: str) -> bool:
    """Say whether this is the owner's one-time token. Constant time; false once it was spent."""
    path = data_dir / _FOLDER / _SETUP
    stored = path.read_text() if path.exists() else ""
    return hmac.compare_digest(stored, _token_hash(token))


def spend_setup_token(data_dir: Path) -> None:
    """Remove the one-time token after use."""
    (data_dir / _FOLDER / _SETUP).unlink(missing_ok=True)


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise InvalidInputError(f"{path} is missing: the key folder is incomplete")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidInputError(f"{path} is open to others; close it with: chmod 600 {path}")
    try:
        raw = bytes.fromhex(path.read_text())
    except ValueError as why:
        raise InvalidInputError(f"{path} is not a key") from why
    if len(raw) != 32:
        raise InvalidInputError(f"{path} is not a key")
    return raw
