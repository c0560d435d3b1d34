"""Bytes that the kernel counts on the connections between processes: what really went through the sockets.

They hold frames, their headers, and what WebSocket or TLS put around them; not TCP's and IP's own headers.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gridward.bench.namespaces import inside

_OWNER: Final = re.compile(r"pid=(\d+)")
_SENT: Final = re.compile(r"\bbytes_sent:(\d+)")
_AGAIN: Final = re.compile(r"\bbytes_retrans:(\d+)")


@dataclass(frozen=True, slots=True)
class Connection:
    """One end of a TCP connection: its process, both addresses, and the bytes that it sent, each once."""

    pid: int
    local: str
    peer: str
    sent_bytes: int


def connections(listing: str) -> list[Connection]:
    """Read what `ss -tinpH` prints, two lines a connection; those without owner or counters are left out."""
    found = []
    head = ""
    for line in listing.splitlines():
        if line[:1].strip():
            head = line
            continue
        fields, owner, sent = head.split(), _OWNER.search(head), _SENT.search(line)
        if owner and sent and fields[0] == "ESTAB":
            again = _AGAIN.search(line)  # a reader that lags behind has TCP send some of them twice
            once = int(sent[1]) - (int(again[1]) if again else 0)
            found.append(Connection(int(owner[1]), fields[3], fields[4], once))
    return found


def between(found: Sequence[Connection], pids: Sequence[int]) -> dict[tuple[int, str, str], int]:
    """Keep the connections whose both ends belong to different ones of ``pids``: bytes sent by each end."""
    owners = {(one.local, one.peer): one.pid for one in found if one.pid in pids}
    return {
        (one.pid, one.local, one.peer): one.sent_bytes
        for one in found
        if one.pid in pids and owners.get((one.peer, one.local), one.pid) != one.pid
    }


def seen(pids: Sequence[int]) -> dict[tuple[int, str, str], int]:
    """Look now; empty where the system shows no connection between these processes."""
    return between([one for pid in pids for one in listed(pid)], pids)


def listed(pid: int) -> list[Connection]:
    """List all connections where a process runs, which may be another namespace; none without `ss`."""
    tool = shutil.which("ss")
    if tool is None:
        return []
    command = [*inside(pid), tool, "-tinpH"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 (no words of others)
    return connections(shown.stdout)


def most_sent(
    before: Mapping[tuple[int, str, str], int], after: Mapping[tuple[int, str, str], int]
) -> int | None:
    """Give what the busiest process sent between two looks.

    None where connections did not last from one to the other, so that nothing can be said.
    """
    if not before or not before.keys() <= after.keys():
        return None
    sent: dict[int, int] = {}
    for end, count in after.items():
        sent[end[0]] = sent.get(end[0], 0) + count - before.get(end, 0)
    return max(sent.values())
