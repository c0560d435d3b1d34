import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gridward.bench import namespaces
from gridward.bench.measure import WrongResultError
from gridward.bench.namespaces import NETWORK, inside, possible
from gridward.bench.shaping import Conditions

HERE = Conditions(delay_s=0.03, bits_per_s=1e8)
needs_root = pytest.mark.skipif(not possible(), reason="this user may not make network namespaces")

ECHO = """
import socket
server = socket.create_server(("0.0.0.0", 7000))
print("up", flush=True)
connection, _ = server.accept()
while piece := connection.recv(1 << 20):
    connection.sendall(piece)
"""


@needs_root
def test_a_round_trip_to_another_namespace_takes_two_delays() -> None:
    with namespaces.namespaces(["a", "b"], HERE) as places:
        assert {place.host for place in places.values()} == {f"{NETWORK}.2", f"{NETWORK}.3"}
        command = [*places["b"].prefix, sys.executable, "-c", ECHO]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            server.stdout.readline()
            with socket.create_connection((places["b"].host, 7000), timeout=10) as ours:
                began = time.monotonic()
                ours.sendall(b"x")
                assert ours.recv(1) == b"x"
                took = time.monotonic() - began
        assert took >= 2 * HERE.delay_s
    assert f"{NETWORK}.1" not in addresses()


def addresses() -> str:
    return subprocess.run(["ip", "-br", "address"], capture_output=True, text=True, check=True).stdout


KILLED = """
import os, signal, time
from gridward.bench.namespaces import namespaces
from gridward.bench.shaping import Conditions
with namespaces(["a"], Conditions(0.001, 1e9)) as places:
    print(*places["a"].prefix, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_root
def test_nothing_is_left_of_a_benchmark_that_was_killed() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    holder = done.stdout.split("/proc/")[1].split("/")[0]
    network = Path(f"/proc/{holder}/ns/net")
    deadline = time.monotonic() + 10
    while (network.exists() or NETWORK in addresses()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not network.exists()
    assert NETWORK not in addresses()


def test_who_may_not_make_namespaces_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "possible", lambda: False)
    with pytest.raises(WrongResultError, match="--link sockets"), namespaces.namespaces(["a"], HERE):
        raise AssertionError("began without the right to")


def test_a_command_for_our_own_network_has_no_prefix() -> None:
    assert inside(os.getpid()) == ()
