"""`gridward backup` and `gridward restore`: a whole server in one file, made on its machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridward.cli.output import fail, say
from gridward.cli.setup import DataDir
from gridward.core.audit import moment
from gridward.server.backup_format import ServerKind
from gridward.server.settings import GatewaySettings, NodeSettings, ServerSettings

if TYPE_CHECKING:
    from gridward.server.audit import AuditFields

Gateway = Annotated[bool, typer.Option("--gateway", help="Of a gateway instead of a node.")]


def make(
    file: Annotated[Path, typer.Argument(help="Archive to write; it must not exist.")],
    data_dir: DataDir = None,
    gateway: Gateway = False,
) -> None:
    """Back a server up, running or not. The file is as secret as the data folder: keys and data are in it."""
    from gridward.server.backup import back_up  # the heavy half of the house, for this command only

    settings = _settings(gateway, data_dir)
    with _clear_errors():
        made = back_up(settings, _kind(gateway), _audit_table(gateway), file)
    total = sum(content.size_bytes for content in made.files.values())
    say(f"wrote {file}: {len(made.files)} files, {total} bytes; keep it as you keep {settings.data_dir}")


def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Archive to read.")],
    data_dir: DataDir = None,
    gateway: Gateway = False,
) -> None:
    """Make a server's data folder from a back-up. Never run a server and its restored copy side by side."""
    from gridward.server.restore import restore as put_back  # as above

    settings = _settings(gateway, data_dir)
    with _clear_errors():
        found = put_back(settings, _kind(gateway), file)
    say(f"{settings.data_dir} is {found.kind.value} {found.head.server} as of {moment(found.made_at)}")
    say("Bundles are left out, and sessions, tokens and approvals end with its next start. What to do next:")
    say(f"  gridward {found.kind.value} --data-dir {settings.data_dir}")


@contextmanager
def _clear_errors() -> Iterator[None]:
    """A full disk or a folder that is not there is no bug."""
    try:
        yield
    except OSError as why:
        raise fail(f"{why.filename or 'the disk'}: {why.strerror or why}") from why


def _kind(gateway: bool) -> ServerKind:
    return ServerKind.GATEWAY if gateway else ServerKind.NODE


def _settings(gateway: bool, data_dir: Path | None) -> ServerSettings:
    settings = GatewaySettings() if gateway else NodeSettings()
    return settings if data_dir is None else settings.model_copy(update={"data_dir": data_dir})


def _audit_table(gateway: bool) -> "type[AuditFields]":
    if gateway:
        from gridward.gateway.tables import AuditEntry as GatewayEntry

        return GatewayEntry
    from gridward.api.tables.accounts import AuditEntry

    return AuditEntry
