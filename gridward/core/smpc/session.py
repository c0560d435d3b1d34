"""One party's view of one query: its parts of the correlations, the values so far, and openings in rounds."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from gridward.core.errors import InvalidInputError, ProtocolError
from gridward.core.smpc.correlations import SlotArray, join_into
from gridward.core.smpc.gate import Gate
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.link import Link
from gridward.core.smpc.operands import Weights
from gridward.core.smpc.program import Form, Program, SlotKind
from gridward.core.smpc.ring import RING_BITS, BitArray, RingArray
from gridward.core.smpc.supply import Supply


@dataclass(frozen=True, slots=True)
class Opening:
    """One party's share of what all parties are to learn: masked values only. The part is given away."""

    kind: SlotKind
    part: SlotArray


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Mask:
    """One party's share of a wire's mask, or of the upper bits of a truncation's mask and of its carry."""

    words: RingArray
    carry: SlotArray | None = None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Held:
    """What a party holds of one register online.

    ``public`` is P with value = P - mask + 2^(RING_BITS - carry bits) * unwrapped * carry; ``unwrapped``, a
    byte a value that is 0 or 1, is absent for wires, and both for plain shares.
    """

    share: RingArray
    public: RingArray | None = None
    unwrapped: BitArray | None = None


Steps: TypeAlias = Generator[Opening, SlotArray, Held]
"""A gate at work: it yields what it opens and is sent the opened words or bits."""


@dataclass(slots=True, repr=False, eq=False)
class Session:
    """The state of one query at one party. Used by one thread, once."""

    program: Program
    party: int
    kernels: Kernels
    agreed: tuple[bytes, ...]
    supply: Supply
    shares: Weights
    offline: dict[int, RingArray] = field(default_factory=dict)
    values: dict[int, Held] = field(default_factory=dict)
    checks: dict[int, SlotArray] = field(default_factory=dict)
    begun: bool = False

    def begin(self) -> None:
        """Start the only run; raises ``InvalidInputError`` at the second one."""
        if self.begun:
            raise InvalidInputError("a session answers once")
        self.begun = True

    @property
    def held_bytes(self) -> int:
        """Say how many bytes wait for the query: parts expanded ahead, and what was computed of them."""
        return self.supply.held_bytes + sum(words.nbytes for words in self.offline.values())

    def close(self) -> None:
        """Forget what is left of the bundle; safe to call twice."""
        self.offline.clear()
        self.values.clear()
        self.supply.close()

    @property
    def first(self) -> bool:
        """Say whether this party adds the public terms."""
        return self.party == 0

    def part(self, gate: int, name: str) -> SlotArray:
        """Give this party's part of a correlation, and forget it: nothing is used twice."""
        return self.supply.take(gate, name)

    def flat(self, gate: int, name: str) -> SlotArray:
        """Give a part in one dimension."""
        return self.part(gate, name).reshape(-1)

    def whole(self, gate: int, name: str) -> RingArray:
        """Give a part that has 64 bits a word, in its shape."""
        return self.part(gate, name).astype(np.uint64, copy=False)

    def words(self, gate: int, name: str) -> RingArray:
        """Give a part as ring words in one dimension."""
        return self.whole(gate, name).reshape(-1)

    def bits(self, gate: int, name: str) -> BitArray:
        """Give a part that has packed bits."""
        return self.part(gate, name).astype(np.uint8, copy=False)

    def share(self, register: int) -> RingArray:
        """Give this party's share of a value."""
        return self.values[register].share

    def public(self, register: int) -> RingArray:
        """Give the public words P of a masked value."""
        public = self.values[register].public
        if public is None:
            raise ValueError(f"register {register} is not masked")
        return public

    def coefficient(self, register: int) -> RingArray | None:
        """Give the public coefficient of a truncated value's carry; of other values there is none."""
        unwrapped = self.values[register].unwrapped
        if unwrapped is None:
            return None
        cut = np.uint64(RING_BITS - self.program.registers[register].carry_bits)
        widened = unwrapped.astype(np.uint64)
        return np.left_shift(widened, cut, out=widened)

    def last(self, register: int) -> Held:
        """Give a value to a gate that needs it no more afterwards: forgotten where no other gate takes it."""
        if len(self.program.readers[register]) > 1:
            return self.values[register]
        return self.values.pop(register)

    def from_wire(self, opened: RingArray, mask: RingArray) -> Held:
        """Hold a wire: its share is the opened words (on party 0) less the mask, and takes its place."""
        np.negative(mask, out=mask)
        if self.first:
            mask += opened
        return Held(mask, opened)

    def form(self, register: int) -> Form:
        """Say how a register is held."""
        return self.program.registers[register].form


def open_together(openings: Sequence[Opening], link: Link) -> list[SlotArray]:
    """Open several masked values in one round: one frame to each peer. What is opened takes the parts' place.

    Security: every opened value is masked by a part that no coalition short of all parties knows.
    Cost: 1 round; the bytes of all parts to each peer.
    """
    parts = [np.ascontiguousarray(opening.part, dtype=_wire(opening.part)) for opening in openings]
    received = link.exchange(*(part.data for part in parts))
    opened = []
    at = 0
    for opening in openings:
        total, wire = opening.part, _wire(opening.part)
        for peer in received:
            theirs = np.frombuffer(peer, dtype=wire, count=total.size, offset=at).reshape(total.shape)
            join_into(opening.kind, total, theirs)
        opened.append(total)
        at += total.nbytes
    return opened


def _wire(array: SlotArray) -> np.dtype[np.unsignedinteger]:
    return array.dtype.newbyteorder("<")


Start: TypeAlias = Callable[[int, Gate, Session], Steps]
"""Begins a gate of a number in a session."""


def run_gates(session: Session, start: Start, link: Link) -> None:
    """Run all gates: each starts when its sources are done; all that wait for an opening share a round.

    Values are forgotten when the last gate that takes them is done, but for the output's.
    """
    run = _Run(session, start)
    run.begin()
    while run.running:
        run.advance(open_together([opening for _, _, opening in run.running], link))
    if session.program.gates[-1].out not in session.values:
        raise ProtocolError("the program waits for a value that no gate makes")


class _Run:
    """Which gates wait for what, while a session runs them."""

    def __init__(self, session: Session, start: Start) -> None:
        self.session = session
        self.start = start
        self.gates = session.program.gates
        self.readers = session.program.readers
        self.missing = [len(set(gate.sources)) for gate in self.gates]
        self.unread = [len(readers) for readers in self.readers]
        self.running: list[tuple[int, Steps, Opening]] = []

    def begin(self) -> None:
        """Start the gates that take nothing, and all that these allow."""
        self._start_all([at for at, missing in enumerate(self.missing) if not missing])

    def advance(self, opened: list[SlotArray]) -> None:
        """Give every gate what it opened; start the gates whose sources are then done."""
        still, ready = [], []
        for (at, steps, _), words in zip(self.running, opened, strict=True):
            try:
                still.append((at, steps, steps.send(words)))
            except StopIteration as done:
                ready += self._done(at, done.value)
        self.running = still
        self._start_all(sorted(ready))

    def _start_all(self, ready: list[int]) -> None:
        while ready:
            following = []
            for at in ready:
                steps = self.start(at, self.gates[at], self.session)
                try:
                    self.running.append((at, steps, next(steps)))
                except StopIteration as done:
                    following += self._done(at, done.value)
            ready = sorted(following)

    def _done(self, at: int, held: Held) -> list[int]:
        gate = self.gates[at]
        self.session.values[gate.out] = held
        for register in set(gate.sources):
            self.unread[register] -= 1
            if not self.unread[register]:
                self.session.values.pop(register, None)
        ready = []
        for reader in self.readers[gate.out]:
            self.missing[reader] -= 1
            if not self.missing[reader]:
                ready.append(reader)
        return ready
