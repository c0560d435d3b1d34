"""Serve a node or a gateway: one process, one line when it is up, a clean end."""

import contextlib
import gc
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer
import uvicorn

from gridward.cli.output import fail, say
from gridward.cli.setup import DataDir
from gridward.core.framing import LONGEST_MESSAGE_BYTES
from gridward.server import keys, logs
from gridward.server.settings import GatewaySettings, NodeSettings, ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

Settings = TypeVar("Settings", NodeSettings, GatewaySettings)
Host = Annotated[str | None, typer.Option(help="Address to listen on. [GRIDWARD_HOST]")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65_535, help="TCP port; 0 takes a free one. [GRIDWARD_PORT]")
]
Name = Annotated[str | None, typer.Option(help="Name shown to users. [GRIDWARD_NAME]")]
_GRACE_S: Final = 5
_UNREAD_S: Final = 300.0
"""A caller that reads nothing of an answer for so long is left by the system: servers do not wait for it."""


def node(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    name: Name = None,
    gateway_url: Annotated[str | None, typer.Option(help="Gateway to join. [GRIDWARD_GATEWAY_URL]")] = None,
) -> None:
    """Serve a node. All settings are GRIDWARD_… variables too; see docs/settings.md."""
    from gridward.api.main import create_app  # the heavy half of the house, for this command only

    settings = NodeSettings(
        **_given(data_dir=data_dir, host=host, port=port, name=name, gateway_url=gateway_url)
    )
    keys.load(settings.data_dir)
    with _listening(settings) as (listener, placed):
        _serve(create_app(placed), listener, placed, f"node {placed.name!r} at {placed.url()}")


def gateway(data_dir: DataDir = None, host: Host = None, port: Port = None, name: Name = None) -> None:
    """Serve a gateway. All settings are GRIDWARD_… variables too; see docs/settings.md."""
    from gridward.gateway.main import create_app  # as above

    settings = GatewaySettings(**_given(data_dir=data_dir, host=host, port=port, name=name))
    keys.load(settings.data_dir)
    with _listening(settings) as (listener, placed):
        _serve(create_app(placed), listener, placed, f"gateway {placed.name!r} at {placed.url()}")


def _given(**options: str | int | Path | None) -> dict[str, Any]:
    """Leave out what was not said, so that the environment and the defaults speak."""
    return {name: value for name, value in options.items() if value is not None}


class _Announced(uvicorn.Server):
    """Says where it answers, once it does."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self._line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what was imported stays: looking through it again would stop every query
            say(self._line)


def _serve(app: "FastAPI", listener: socket.socket, settings: ServerSettings, what: str) -> None:
    logs.configure(settings.log_level, settings.log_format)
    line = f"Gridward {what}, data in {settings.data_dir}; Ctrl-C ends it"
    server = _Announced(_config(app, settings), line)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        raise fail(f"the {what} could not start; the log above says why")


def _config(app: "FastAPI", settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        lifespan="on",
        ws_max_size=LONGEST_MESSAGE_BYTES,
        timeout_graceful_shutdown=_GRACE_S,
    )


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[tuple[socket.socket, Settings]]:
    """Take the port before the app is built, so that the app knows its address even if the port is 0."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named as TCP: only then does asyncio turn Nagle's algorithm off on what it accepts, which would hold
    # each answer's body back for the 40 ms of a delayed acknowledgement.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # of all that it accepts
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_UNREAD_S * 1e3))
        try:
            listener.bind((settings.host, settings.port))
        except OSError as why:
            raise fail(f"cannot listen on {settings.host}:{settings.port}: {why.strerror or why}") from why
        yield listener, settings.model_copy(update={"port": listener.getsockname()[1]})
