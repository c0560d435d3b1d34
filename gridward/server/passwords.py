"""Passwords: argon2id (RFC 9106), a bounded number at once, the same work whether or not the user exists."""

import secrets
import threading

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from gridward.server.settings import ServerSettings


class Passwords:
    """Hashes and checks passwords. Call from a thread, never from the event loop: a hash takes tens of ms."""

    def __init__(self, settings: ServerSettings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.password_passes,
            memory_cost=settings.password_memory_kib,
            parallelism=1,
            type=Type.ID,
        )
        self._slots = threading.BoundedSemaphore(settings.password_hashes_at_once)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """Return a salted hash to store."""
        with self._slots:
            return self._hasher.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Say whether the password fits. Without a stored hash it does the same work and says no."""
        with self._slots:
            try:
                self._hasher.verify(stored or self._nobody, password)
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return False
        return stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Say whether the hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(stored)
