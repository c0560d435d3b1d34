"""Sums of updates: a contributor's vector leaves as shares, of which all together give it and fewer nothing.

All aggregators but the first get a 32-byte seed, the first what is left of the quantised update; each adds up
what it holds. Words are modulo 2^32, so that a contribution is as long as the float32 update. Security and
scheme are those of ``secure_sum``. Long vectors travel in pieces, each with seeds of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gridward.core.errors import InvalidInputError, OutOfRangeError
from gridward.core.smpc.kernels import updates
from gridward.core.smpc.kernels.seam import ShortWords
from gridward.core.smpc.prg import KEY_BYTES, Prg
from gridward.core.smpc.quantised import (
    SHORT_BYTES,
    WIRE_SHORT,
    Array,
    Slot,
    Terms,
    counts_of,
    factor_of,
    places,
)

_STREAM = 0


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """One contributor's update and its weight, not yet quantised; ``norm`` as of ``norm_of``."""

    update: Mapping[str, Array]
    slots: Sequence[Slot]
    terms: Terms
    rows: int
    norm: float

    def packets(self, span: range, seeds: Sequence[bytes]) -> list[bytes | memoryview]:
        """Split the words in ``span`` into a packet for each aggregator, one more than there are seeds.

        Equal seeds must never serve two updates. Cost: a pass for each seed's masks, and one more.
        Raises ``OutOfRangeError`` where an integer tensor grew beyond the agreed limit.
        """
        if not seeds:
            raise InvalidInputError("one aggregator alone would see the update: a sum of updates needs two")
        words = add_up((masks(seed, len(span)) for seed in seeds), len(span))
        for values, real, at in self._parts(span):
            target = words[at : at + values.size]
            updates.quantise_less(values, self._factor() if real else 1.0, self.terms.limit, target)
        return [words.astype(WIRE_SHORT, copy=False).data.cast("B"), *seeds]

    def _factor(self) -> float:
        return factor_of(self.terms, self.rows, self.norm)

    def _parts(self, span: range) -> Iterator[tuple[Array, bool, int]]:
        """Give the parts of tensors that lie in the span, and where in it each begins."""
        end = 0
        for slot, start in places(self.slots):
            end = start + slot.words
            low, high = max(start, span.start), min(end, span.stop)
            if low < high:
                flat = self.update[slot.name].reshape(-1)[low - start : high - start]
                yield (_real(flat) if slot.real else self._whole(flat)), slot.real, low - span.start
        counts = counts_of(self.terms, self.rows, self.norm)
        low, high = max(end, span.start), min(end + len(counts), span.stop)
        if low < high:
            yield self._whole(counts[low - end : high - end]), False, low - span.start

    def _whole(self, values: Array) -> Array:
        limit = self.terms.limit
        whole = values.astype(np.int64)
        if np.any(whole > limit) or np.any(whole < -limit):
            raise OutOfRangeError(f"an integer tensor grew by more than {limit}, the range of this sum")
        return whole.astype(np.float64)


def masks(seed: bytes, count: int) -> ShortWords:
    """Expand a seed to uniform words: ChaCha20's bytes, four to a word."""
    drawn = np.empty(count, dtype=WIRE_SHORT)
    Prg(seed).fill(_STREAM, drawn.data.cast("B"))
    return drawn.astype(np.uint32, copy=False)


def share_of(packet: bytes, position: int, count: int) -> ShortWords:
    """Read the packet for the aggregator at ``position`` as its ``count`` words.

    Raises ``InvalidInputError`` where its length is another.
    """
    wanted = KEY_BYTES if position else count * SHORT_BYTES
    if len(packet) != wanted:
        raise InvalidInputError(f"a share has {wanted} bytes here, not {len(packet)}")
    if position:
        return masks(packet, count)
    return np.frombuffer(packet, dtype=WIRE_SHORT).astype(np.uint32)  # a copy: kernels take no read-only ones


def add_up(shares: Iterable[ShortWords], count: int) -> ShortWords:
    """Add words modulo 2^32, one share after the other; never more than two are held."""
    total = np.zeros(count, dtype=np.uint32)
    for share in shares:
        updates.add_short(total, share)
    return total


def _real(values: Array) -> Array:
    """Keep what the kernel reads as it is; widen what it does not."""
    kept = values.dtype in (np.float32, np.float64)
    return np.ascontiguousarray(values if kept else values.astype(np.float64))
