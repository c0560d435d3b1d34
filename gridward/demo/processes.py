"""A gateway and nodes as real processes on loopback, that end with whoever started them."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

from gridward.core.errors import NodeUnreachableError

START_S: Final = 60.0
STOP_S: Final = 10.0
_SERVES: Final = re.compile(r" at (http://\S+), data in ")
_TOKEN: Final = re.compile(r"One-time token: (\S+)")
_DEATH_SIGNAL: Final = 1


@dataclass(slots=True)
class Server:
    """One process with its data folder; it can be ended and started again on the same port.

    ``prefix`` begins its command: what is to run it somewhere else, such as in another network namespace.
    """

    kind: str
    name: str
    folder: Path
    environment: dict[str, str]
    token: str
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    _written: int = 0

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / "log"

    def spawn(self) -> None:
        """Start the process, on its former port if it had one; it answers after ``wait``."""
        port = self.url.rsplit(":", 1)[1] if self.url else "0"
        gridward = [sys.executable, "-m", "gridward"]
        command = [*self.prefix, *gridward, self.kind, "--data-dir", str(self.folder / "data")]
        self._written = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", port, "--name", self.name],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    def wait(self) -> None:
        """Wait until it answers. Raises ``NodeUnreachableError`` with the end of its log."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            said = self.log.read_bytes()[self._written :].decode(errors="replace")
            if found := _SERVES.search(said):
                self.url = found[1]
                return
            time.sleep(0.05)
        last = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        raise NodeUnreachableError(f"{self.kind} {self.name} did not start:\n{last}")

    def stop(self) -> None:
        """Ask it to end, and end it if it does not; safe to call twice."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, no goodbye."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@dataclass(slots=True)
class Servers:
    """All processes of a grid, in a temporary folder that is removed with them.

    ``prefixes``: by name, what begins the command of a server that is to run somewhere else.
    """

    prefixes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="gridward-", ignore_cleanup_errors=True)
    )
    all: list[Server] = field(default_factory=list)

    def __enter__(self) -> "Servers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes and remove their data; safe to call twice."""
        for server in reversed(self.all):
            server.stop()
        self._folder.cleanup()

    def spawn(self, kind: str, name: str, **settings: object) -> Server:
        """Make keys for a ``gateway`` or ``node``, and start it with ``GRIDWARD_…`` settings.

        Call it from the main thread: a process ends with the thread that started it.
        """
        folder = Path(self._folder.name) / name
        folder.mkdir()
        environment = {f"GRIDWARD_{key.upper()}": str(value) for key, value in settings.items()}
        command = [sys.executable, "-m", "gridward", "init", "--data-dir", str(folder / "data")]
        made = subprocess.run(
            [*command, "--gateway"] if kind == "gateway" else command,
            env=os.environ | environment,
            check=True,
            capture_output=True,
            text=True,
        )
        token = _TOKEN.search(made.stdout)
        if token is None:
            raise NodeUnreachableError(f"init of {name} printed no one-time token: {made.stdout}")
        server = Server(kind, name, folder, environment, token[1], self.prefixes.get(name, ()))
        self.all.append(server)
        server.spawn()
        return server


def _end_with_parent() -> None:
    # Asks the kernel (PR_SET_PDEATHSIG) to end this process with its parent, also after kill -9.
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
