"""A network between namespaces: each packet is held for its length over the rate, and for the delay.

Runs as a process of its own: it takes no interpreter's lock from who is measured, though it does take a core.
Packets come from TUN devices, one a namespace, and leave by the one whose address they are for. Nothing is
lost and queues have no limit.
"""

import ctypes
import heapq
import os
import select
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from gridward.bench.shaping import Conditions

PACKET_BYTES: Final = 1 << 16
_DESTINATION: Final = slice(16, 20)
_TIMER_SLACK: Final = 29


@dataclass(slots=True)
class Relay:
    """Packets on their way, by the time of their arrival; ``clock`` values are passed in."""

    conditions: Conditions
    _free_s: dict[int, float] = field(default_factory=dict)
    _waiting: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)

    def take(self, sender: int, target: int, packet: bytes, now_s: float) -> None:
        """Accept one packet: it leaves after all that its sender sent before."""
        leaves = max(self._free_s.get(sender, 0.0), now_s) + 8 * len(packet) / self.conditions.bits_per_s
        self._free_s[sender] = leaves
        heapq.heappush(self._waiting, (leaves + self.conditions.delay_s, next(self._order), target, packet))

    def arrived(self, now_s: float) -> list[tuple[int, bytes]]:
        """Give what is due, with its target, in order."""
        due = []
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, target, packet = heapq.heappop(self._waiting)
            due.append((target, packet))
        return due

    def wait_s(self, now_s: float) -> float | None:
        """Say how long nothing will be due; None where nothing is on its way."""
        return max(self._waiting[0][0] - now_s, 0.0) if self._waiting else None


def carry(devices: Mapping[bytes, int], relay: Relay) -> None:
    """Carry packets between devices, by IPv4 address, until a device is gone."""
    ends = list(devices.values())
    while True:
        ready, _, _ = select.select(ends, [], [], relay.wait_s(time.monotonic()))
        now = time.monotonic()
        for sender in ready:
            packet = os.read(sender, PACKET_BYTES)
            target = devices.get(packet[_DESTINATION])
            if target is not None:
                relay.take(sender, target, packet, now)
        for target, packet in relay.arrived(time.monotonic()):
            os.write(target, packet)


def main(args: list[str]) -> None:
    """Run with delay (seconds), rate (bits a second), and `address=descriptor` of each open device."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_TIMER_SLACK, 1, 0, 0, 0)
    pairs = [arg.split("=") for arg in args[2:]]
    devices = {bytes(map(int, address.split("."))): int(device) for address, device in pairs}
    carry(devices, Relay(Conditions(float(args[0]), float(args[1]))))


if __name__ == "__main__":
    main(sys.argv[1:])
