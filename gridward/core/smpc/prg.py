"""ChaCha20 keystreams (RFC 8439): the only source of shares and masks. There is no fallback."""

from collections.abc import Callable, Iterator
from typing import Final, NoReturn, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gridward.core.smpc.ring import RingArray

KEY_BYTES: Final = 32
STREAM_LIMIT_BYTES: Final = 64 << 32
"""RFC 8439 counts blocks of 64 bytes with 32 bits."""

PIECE_BYTES: Final = 1 << 16
"""Long streams are drawn in pieces that stay in the cache."""

PASSING_BYTES: Final = 1 << 18
"""Streams that are used at once are drawn in fewer pieces: Python takes its time for each."""

_ZEROS: Final = memoryview(bytes(PIECE_BYTES))

Entropy: TypeAlias = Callable[[int], bytes]
"""Gives that many unpredictable bytes: ``secrets.token_bytes`` at the edge, a seeded stream in tests."""


class Prg:
    """A secret key and its numbered streams. Equal keys and streams give equal bytes: draw each once."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def __repr__(self) -> str:
        return "Prg(key hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled")

    def draw(self, stream: int, count_bytes: int) -> bytes:
        """Give the first bytes of stream 0 <= ``stream`` < 2^96: RFC 8439 with block counter 0.

        The stream number is the nonce, little-endian.
        """
        return self._checked(stream, count_bytes).update(bytes(count_bytes))

    def fill(self, stream: int, out: memoryview) -> None:
        """Draw as many bytes as ``out`` holds into it; a view of bytes, contiguous and writable.

        Zeros that stay in the cache are encrypted piece by piece: three times as fast as ``draw`` of much.
        """
        for _ in self.pieces(stream, out):
            pass

    def pieces(self, stream: int, out: memoryview) -> Iterator[memoryview]:
        """Draw as ``fill`` does, and give every piece of ``PIECE_BYTES`` while it is in the cache."""
        cipher = self._checked(stream, len(out))
        for start in range(0, len(out), PIECE_BYTES):
            piece = out[start : start + PIECE_BYTES]
            cipher.update_into(_ZEROS[: len(piece)], piece)
            yield piece

    def passing(self, stream: int, count_bytes: int) -> Iterator[memoryview]:
        """Draw as ``fill`` does, and give ``PASSING_BYTES`` at a time, in the place of those before."""
        place = memoryview(bytearray(min(count_bytes, PASSING_BYTES)))
        cipher = self._checked(stream, count_bytes)
        for start in range(0, count_bytes, PASSING_BYTES):
            drawn = place[: min(PASSING_BYTES, count_bytes - start)]
            for at in range(0, len(drawn), PIECE_BYTES):
                piece = drawn[at : at + PIECE_BYTES]
                cipher.update_into(_ZEROS[: len(piece)], piece)
            yield drawn

    def _checked(self, stream: int, count_bytes: int) -> CipherContext:
        if count_bytes > STREAM_LIMIT_BYTES:
            raise ValueError(f"one stream has {STREAM_LIMIT_BYTES} bytes")
        return self._cipher(stream)

    def _cipher(self, stream: int) -> CipherContext:
        nonce = bytes(4) + stream.to_bytes(12, "little")
        return Cipher(ChaCha20(self._key, nonce), mode=None).encryptor()

    def words(self, stream: int, count: int) -> RingArray:
        """Draw ``count`` uniform ring words."""
        drawn = np.empty(count, dtype="<u8")
        self.fill(stream, drawn.data.cast("B"))
        return drawn.astype(np.uint64, copy=False)

    def subkey(self, label: str) -> bytes:
        """Derive an independent key for another purpose (HKDF-Expand of RFC 5869 with SHA-256)."""
        info = b"gridward smpc 1 " + label.encode()
        return HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=info).derive(self._key)
