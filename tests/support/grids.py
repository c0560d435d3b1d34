"""A grid of real processes on loopback: a gateway and nodes, each started through the command line."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import gridward as gw

PASSWORD: Final = "correct horse battery"
OWNERS: Final = {"hospital": "bob", "public": "paula", "company": "carl", "university": "uma"}
DIRECT: Final = ("hospital", "public")
"""Nodes that offer a direct port; others meet them over WebSockets."""
_START_S: Final = 90.0
_QUICK: Final = {
    "GRIDWARD_PASSWORD_MEMORY_KIB": "1024",
    "GRIDWARD_PASSWORD_PASSES": "1",
    "GRIDWARD_HEARTBEAT_S": "0.5",
    "GRIDWARD_AWAY_AFTER_S": "2.5",
    "GRIDWARD_HEARTBEAT_RETRY_S": "0.2",
    "GRIDWARD_OFFER_PARTY": "true",
    "GRIDWARD_OFFER_PROVIDER": "true",
}
Value = TypeVar("Value")


def gridward(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gridward", *arguments],
        env=os.environ | _QUICK | environment,
        capture_output=True,
        text=True,
        timeout=_START_S,
    )


@dataclass
class ServerProcess:
    """A node or gateway; it keeps its port over restarts."""

    kind: str
    name: str
    data_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data_dir.parent / f"{self.name}.log"

    def init(self) -> str:
        """Make the keys and give the owner's one-time token."""
        flags = ["--gateway"] if self.kind == "gateway" else []
        made = gridward("init", "--data-dir", str(self.data_dir), *flags)
        assert made.returncode == 0, made.stderr
        token = re.search(r"One-time token: (\S+)", made.stdout)
        assert token, made.stdout
        return token[1]

    def launch(self) -> None:
        """Start the process; `await_start` waits until it answers."""
        place = ["--data-dir", str(self.data_dir), "--port", str(self.port), "--name", self.name]
        self.log.touch()
        start = self.log.stat().st_size
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gridward", self.kind, *place],
                env=os.environ | _QUICK | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._read_from = start

    def await_start(self) -> None:
        """Wait for the line that says where it answers."""

        def announced() -> int | None:
            written = self.log.read_bytes()[self._read_from :].decode()
            assert self.process is not None
            assert self.process.poll() is None, f"{self.name} ended:\n{written}"
            line = re.search(rf"Gridward {self.kind} '{self.name}' at http://127\.0\.0\.1:(\d+)", written)
            return int(line[1]) if line else None

        self.port = eventually(announced, f"{self.name} to start", _START_S)

    def start(self) -> None:
        self.launch()
        self.await_start()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it politely."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.process = None


@dataclass
class Grid:
    """A gateway owned by olga, with the users dana and eve; nodes under four owners, joined and approved."""

    gateway: ServerProcess
    nodes: dict[str, ServerProcess]

    def owner(self, node: str) -> "gw.NodeClient":
        """Sign in as the owner of a node."""
        return gw.connect(self.nodes[node].url, username=OWNERS[node], password=PASSWORD)

    def user(self, name: str = "dana") -> "gw.GatewayClient":
        """Sign in at the gateway."""
        return gw.network(self.gateway.url, username=name, password=PASSWORD)

    def await_live(self) -> None:
        """Wait until the gateway counts every node among the living."""
        with self.user("olga") as olga:
            eventually(
                lambda: all(node.state.value == "live" for node in olga.nodes()) or None,
                "all nodes to be live",
            )


@contextmanager
def running_grid(folder: Path, **environment: str) -> Iterator[Grid]:
    """Start a grid and end all its processes, whatever happens."""
    gateway = ServerProcess("gateway", "grid", folder / "gateway", environment)
    nodes = {
        name: ServerProcess(
            "node",
            name,
            folder / name,
            environment | ({"GRIDWARD_LANE_PORT": "0"} if name in DIRECT else {}),
        )
        for name in OWNERS
    }
    servers = [gateway, *nodes.values()]
    try:
        tokens = {server.name: server.init() for server in servers}
        for server in servers:
            server.launch()
        for server in servers:
            server.await_start()
        grid = Grid(gateway, nodes)
        _settle(grid, tokens)
        yield grid
    finally:
        for server in servers:
            server.stop()


def _settle(grid: Grid, tokens: Mapping[str, str]) -> None:
    gw.setup_owner(grid.gateway.url, tokens["grid"], "olga", PASSWORD)
    with grid.user("olga") as olga:
        for user in ("dana", "eve"):
            olga.users.add(user, PASSWORD)
        for name, node in grid.nodes.items():
            gw.setup_owner(node.url, tokens[name], OWNERS[name], PASSWORD)
            with grid.owner(name) as owner:
                owner.join(grid.gateway.url)
            olga.approve(name, owner=f"{OWNERS[name].title()} of {name}")
    grid.await_live()


def eventually(attempt: Callable[[], Value | None], what: str, within_s: float = 120.0) -> Value:
    """Give the first result that is not None; fail if there is none in time."""
    deadline = time.monotonic() + within_s
    while (result := attempt()) is None:
        assert time.monotonic() < deadline, f"waited {within_s} s for {what}"
        time.sleep(0.05)
    return result
