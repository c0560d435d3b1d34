"""A party's parts of one bundle: expanded when a gate asks for them, some of them ahead, each given out once.

A stream is drawn and corrected piece by piece, so nothing lies in memory twice, and the corrections may stay
on the disk until they are needed.
"""

from collections.abc import Iterable

import numpy as np

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.correlations import Key, SlotArray, draw_into, join_into, slot_bytes, wire_type
from gridward.core.smpc.gate import Shape
from gridward.core.smpc.packets import Body
from gridward.core.smpc.prg import PIECE_BYTES, Prg
from gridward.core.smpc.program import Slot


class Supply:
    """The parts of one bundle. Used by one thread at a time."""

    __slots__ = ("_corrections", "_held", "_input_prg", "_inputs", "_left", "_prg")

    def __init__(
        self,
        slots: Iterable[Slot],
        prg: Prg,
        input_prg: Prg,
        inputs: frozenset[int],
        corrections: Body,
    ) -> None:
        """Lay the parts out; ``inputs`` are the gates whose slots come from the input subkey.

        ``corrections`` is empty for all parties but one.

        Raises ``InvalidInputError`` where the length of the corrections does not fit the manifest.
        """
        self._prg, self._input_prg, self._inputs = prg, input_prg, inputs
        self._corrections = corrections
        self._held: dict[Key, SlotArray] = {}
        self._left: dict[Key, tuple[Slot, int | None]] = {}
        at = 0
        for slot in slots:
            corrected = slot.corrected and corrections.size > 0
            self._left[slot.gate, slot.name] = slot, at if corrected else None
            at += slot_bytes(slot) if corrected else 0
        if at > corrections.size:
            raise InvalidInputError("the corrections end before the manifest does")
        if at < corrections.size:
            raise InvalidInputError("the corrections do not end where the manifest does")

    @property
    def held_bytes(self) -> int:
        """Say how many bytes are expanded and not given out."""
        return sum(part.nbytes for part in self._held.values())

    def hold(self, limit_bytes: int) -> None:
        """Expand parts ahead, in the order of the gates, as long as all fit the limit."""
        room = limit_bytes - self.held_bytes
        for key in list(self._left):
            slot, _ = self._left[key]
            room -= slot_bytes(slot)
            if room < 0:
                return
            self._held[key] = self.take(*key)
        self._corrections.close()

    def shape(self, gate: int, name: str) -> Shape:
        """Say the shape of a part that is left."""
        held = self._held.get((gate, name))
        return self._left[gate, name][0].shape if held is None else held.shape

    def take(self, gate: int, name: str) -> SlotArray:
        """Give a part, and forget it: nothing is used twice."""
        held = self._held.pop((gate, name), None)
        if held is None:
            held = self.look(gate, name)
            del self._left[gate, name]
        return held

    def look(self, gate: int, name: str) -> SlotArray:
        """Give a part that will be asked for again; not to be changed."""
        held = self._held.get((gate, name))
        if held is not None:
            return held
        slot, _ = self._left[gate, name]
        drawn = np.empty(slot.shape, dtype=wire_type(slot))
        self._expand(gate, name, drawn.reshape(-1))
        return drawn.astype(slot.dtype, copy=False)

    def take_into(self, gate: int, name: str, out: SlotArray) -> None:
        """Give a part as ``take`` does, in the place of ``out``, contiguous and of the slot's shape."""
        held = self._held.pop((gate, name), None)
        if held is None:
            self._expand(gate, name, out.reshape(-1))
            del self._left[gate, name]
        else:
            out[...] = held

    def close(self) -> None:
        """Forget everything that is left; safe to call twice."""
        self._held.clear()
        self._left.clear()
        self._corrections.close()

    def _expand(self, gate: int, name: str, out: SlotArray) -> None:
        slot, at = self._left[gate, name]
        pieces = draw_into(self._input_prg if gate in self._inputs else self._prg, slot, out)
        buffer = np.empty(0 if at is None else min(out.size, PIECE_BYTES // out.itemsize), dtype=out.dtype)
        for piece in pieces:
            if at is not None:
                correction = buffer[: piece.size]
                self._corrections.read_into(at, correction.data.cast("B"))
                join_into(slot.kind, piece, correction)
                at += piece.nbytes
