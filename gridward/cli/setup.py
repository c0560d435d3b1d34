"""A server's first minutes: its data folder and keys, and who owns it."""

from pathlib import Path
from typing import Annotated

import typer

from gridward.cli.output import say
from gridward.client.accounts import set_up
from gridward.client.transport import Transport
from gridward.server import keys
from gridward.server.settings import GatewaySettings, NodeSettings

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", "-d", help="Folder of keys, database and blobs. [GRIDWARD_DATA_DIR]"),
]


def init(
    data_dir: DataDir = None,
    gateway: Annotated[bool, typer.Option("--gateway", help="For a gateway instead of a node.")] = False,
    renew_token: Annotated[
        bool, typer.Option("--renew-token", help="Only make a new one-time token, if the first was lost.")
    ] = False,
) -> None:
    """Make a data folder with fresh keys, and the owner's one-time token."""
    kind = GatewaySettings if gateway else NodeSettings
    folder = data_dir or kind().data_dir
    token = keys.renew_setup_token(folder) if renew_token else keys.make(folder)
    word = "gateway" if gateway else "node"
    say(f"{'New token for' if renew_token else 'Made'} {folder} of {word} {keys.load(folder).id}")
    say(f"One-time token: {token}")
    say("Whoever presents it first owns the server; it is shown only now. What to do next:")
    say(f"  gridward {word} --data-dir {folder}")
    say(f"  gridward claim --url http://{kind().host}:{kind().port} --username NAME")


def claim(
    url: Annotated[str, typer.Option("--url", envvar="GRIDWARD_URL", help="Address of the node or gateway.")],
    username: Annotated[
        str, typer.Option("--username", "-u", envvar="GRIDWARD_USERNAME", help="The owner's user name.")
    ],
    token: Annotated[str, typer.Option(envvar="GRIDWARD_TOKEN", prompt="One-time token", hide_input=True)],
    password: Annotated[
        str, typer.Option(envvar="GRIDWARD_PASSWORD", prompt=True, hide_input=True, confirmation_prompt=True)
    ],
) -> None:
    """Become the owner of a running server, with the one-time token."""
    server = Transport(url)
    try:
        set_up(server, token, username, password)
    finally:
        server.close()
    say(f"{username} owns {url}")
