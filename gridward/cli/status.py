"""`gridward status`: how a node is doing."""

from gridward.cli.output import table
from gridward.cli.session import Password, Url, Username, node
from gridward.core.schemas.status import NodeStatusOut


def status(url: Url, username: Username, password: Password) -> None:
    """Say what a node stores, what runs and waits, and how it stands with its gateways."""
    with node(url, username, password) as home:
        now = home.status()
    table(("of", "is"), list(_rows(now)), empty="nothing")


def _rows(now: NodeStatusOut) -> list[tuple[str, str]]:
    storage = now.storage
    rows = [("started", now.started_at.isoformat(timespec="seconds"))]
    rows += list(now.versions.items())
    rows += [
        ("stored", f"{storage.stored_bytes} of {storage.limit_bytes} bytes"),
        ("disk", f"{storage.free_bytes} of {storage.disk_bytes} bytes free"),
    ]
    rows += [
        (one.name, f"{one.running} running, {one.waiting} waiting, {one.places} places") for one in now.queues
    ]
    rows += [(f"as {one.role}", f"{one.ready} ready, {one.proposed} proposed") for one in now.roles]
    rows += [
        (f"gateway {one.gateway_name}", f"{one.state.value} {one.detail}".strip()) for one in now.memberships
    ]
    return [*rows, ("audit log", f"{now.audit.head.count} entries, {now.audit.kept} signed heads kept")]
