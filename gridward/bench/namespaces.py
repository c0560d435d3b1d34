"""Network namespaces for node processes, joined by a relay with delay and rate, for as long as a block runs.

Each namespace has no name: it lives as long as the process that holds it, and that one ends with whoever
started it, also after kill -9. Devices are TUN devices, which are gone when the relay is. So nothing is left.
The relay stands in for `tc netem`, which not every kernel has.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from gridward.bench.measure import require
from gridward.bench.shaping import Conditions

NETWORK: Final = "10.77.13"
MTU: Final = 65_000
START_S: Final = 10.0
_NEW_NETWORK: Final = 0x40000000
_DEATH_SIGNAL: Final = 1
_TUNSETIFF: Final = 0x400454CA
_TUN_WITHOUT_HEADER: Final = 0x1001
_NEEDED: Final = ("unshare", "nsenter", "ip", "sleep")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process runs: what its command begins with, and its address there."""

    prefix: tuple[str, ...]
    host: str


def possible() -> bool:
    """Say whether this process may make namespaces and devices here."""
    return (
        sys.platform == "linux"
        and os.geteuid() == 0
        and os.access("/dev/net/tun", os.R_OK | os.W_OK)
        and all(shutil.which(tool) for tool in _NEEDED)
    )


@contextmanager
def namespaces(names: Sequence[str], conditions: Conditions) -> Iterator[Mapping[str, Place]]:
    """Make a namespace for each name, and put this process on the same network as its own."""
    require(
        possible(),
        "a slower network between nodes needs root on Linux, /dev/net/tun, ip, unshare and nsenter; "
        "--link sockets simulates one in the link",
    )
    with ExitStack() as stack:
        devices = {f"{NETWORK}.1": _device(stack, os.getpid(), f"{NETWORK}.1")}
        places = {}
        for number, name in enumerate(names, start=2):
            host = f"{NETWORK}.{number}"
            holder = _held(stack)
            devices[host] = _device(stack, holder, host)
            places[name] = Place(inside(holder), host)
        _start(
            stack,
            [
                *(sys.executable, "-m", "gridward.bench.relay"),
                *(str(conditions.delay_s), str(conditions.bits_per_s)),
                *(f"{host}={device}" for host, device in devices.items()),
            ],
            tuple(devices.values()),
        )
        yield places


def _held(stack: ExitStack) -> int:
    """Start a process in a new namespace; give its id when the namespace is there."""
    holder = _start(stack, ["unshare", "--net", "sleep", "infinity"]).pid
    own = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + START_S
    while os.readlink(f"/proc/{holder}/ns/net") == own:
        require(time.monotonic() < deadline, "no network namespace could be made")
        time.sleep(0.01)
    return holder


def inside(pid: int) -> tuple[str, ...]:
    """Give what begins a command that is to run on the network of a process; nothing if that is ours."""
    network = f"/proc/{pid}/ns/net"
    same = os.readlink(network) == os.readlink("/proc/self/ns/net")
    return () if same else ("nsenter", f"--net={network}")


def _device(stack: ExitStack, holder: int, host: str) -> int:
    """Open a TUN device in the namespace of a process and give it an address."""
    name = "gridward0"
    device = _in_namespace(holder, name)
    stack.callback(os.close, device)
    for command in (
        ("ip", "link", "set", "lo", "up"),
        ("ip", "address", "add", f"{host}/24", "dev", name),
        ("ip", "link", "set", name, "mtu", str(MTU), "up"),
    ):
        words = [*inside(holder), *command]
        subprocess.run(words, check=True, capture_output=True)  # noqa: S603 (our own words)
    return device


def _in_namespace(holder: int, name: str) -> int:
    """Open the device from a thread that has moved there: a thread that ends moves nothing else."""
    opened: list[int] = []

    def work() -> None:
        namespace = os.open(f"/proc/{holder}/ns/net", os.O_RDONLY)
        try:
            moved = ctypes.CDLL(None, use_errno=True).setns(namespace, _NEW_NETWORK) == 0
        finally:
            os.close(namespace)
        if moved:
            device = os.open("/dev/net/tun", os.O_RDWR)
            opened.append(device)
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    require(len(opened) == 1, "no network device could be made")
    return opened[0]


def _start(
    stack: ExitStack, command: Sequence[str], inherited: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 (our own words)
        command,
        stdin=subprocess.DEVNULL,
        pass_fds=inherited,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
