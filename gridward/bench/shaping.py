"""A slower network than this machine's, simulated in the link between two parties: delay and rate.

A frame leaves when all that its party sent before has left, takes its length over the rate to leave, and
arrives ``delay_s`` later. The arrival travels before the frame on the machine's own monotonic clock, so both
ends must be on one machine; nothing is held up at the sender, as in a network card's queue.
"""

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gridward.bench.measure import Line
from gridward.core.smpc.link import Octets, Transport

ARRIVAL: Final = struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class Conditions:
    """A network: seconds that a bit travels one way, and bits a second that each sender has."""

    delay_s: float
    bits_per_s: float

    def as_line(self, how: str) -> Line:
        """Say it in a case, with how it is simulated."""
        return {"one_way_delay_s": self.delay_s, "bits_per_s": self.bits_per_s, "simulated": how}


CONDITIONS: Final[dict[str, Conditions | None]] = {
    "none": None,
    "lan": Conditions(0.0001, 10e9),
    "wan": Conditions(0.02, 350e6),
}


@dataclass(slots=True)
class ShapedTransport:
    """A transport whose frames arrive as late as on a network of ``conditions``."""

    inner: Transport
    conditions: Conditions
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _free_s: float = field(default=0.0, init=False)

    def authentic(self, peer: int) -> bool:
        """Say what the connections say."""
        return self.inner.authentic(peer)

    def send(self, peer: int, *frame: Octets) -> None:
        """Hand over one frame with the time of its arrival."""
        bits = 8 * sum(map(len, frame))
        self._free_s = max(self._free_s, self.clock()) + bits / self.conditions.bits_per_s
        self.inner.send(peer, ARRIVAL.pack(self._free_s + self.conditions.delay_s), *frame)

    def receive(self, peer: int, deadline: float) -> Octets:
        """Wait for the next frame until it has arrived; one that arrives after ``deadline`` is too late."""
        stamped = self.inner.receive(peer, deadline)
        (arrival,) = ARRIVAL.unpack_from(stamped)
        wait = min(arrival, deadline) - self.clock()
        if wait > 0:
            self.sleep(wait)
        if arrival > deadline:
            raise TimeoutError
        return memoryview(stamped)[ARRIVAL.size :]

    def complete(self) -> None:
        """Tell the connections that the session went well."""
        self.inner.complete()

    def close(self) -> None:
        """End the connections."""
        self.inner.close()
