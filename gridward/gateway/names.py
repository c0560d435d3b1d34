"""Names of nodes: whose one is, so that no node passes for another, now or after that one left."""

from typing import Final

from sqlmodel import Session

from gridward.core.errors import AlreadyExistsError, ConflictError
from gridward.gateway.tables import NameHolder, Node, Standing
from gridward.server.db import lock

_ALIKE: Final = (("_", ""), (".", ""), ("-", ""), ("rn", "m"), ("vv", "w"), ("0", "o"), ("1", "l"))
"""What people take for the same in names of `NODE_NAME_PATTERN`, which has no capitals and ASCII only.

In this order: what separators part looks like what they do not.
"""


def likeness(name: str) -> str:
    """Return what names that look alike have in common."""
    for seen, meant in _ALIKE:
        name = name.replace(seen, meant)
    return name


def require_free(db: Session, name: str, node_id: str) -> None:
    """Raise `AlreadyExistsError` if another member has this name or one that looks like it."""
    holder = db.get(NameHolder, likeness(name))
    if holder is None or holder.node_id == node_id:
        return
    member = db.get(Node, holder.node_id)
    if member is not None and member.standing == Standing.APPROVED and member.held_name == holder.name:
        raise AlreadyExistsError(
            f"another node of this grid is called '{name}', or so that it looks like it; choose another name"
        )


def give(db: Session, node: Node, *, takes_over: bool) -> None:
    """Let a node hold the name that it asks for, for good.

    Raises `AlreadyExistsError` as `require_free`; `ConflictError` if the name was another node's, which
    left, and nobody said that this one takes its place. One decision on names at a time.
    """
    lock(db, "names")
    require_free(db, node.name, node.id)
    holder = db.get(NameHolder, likeness(node.name))
    if holder is not None and holder.node_id != node.id and not takes_over:
        raise ConflictError(
            f"'{holder.name}' was the name of another node, {holder.node_id}, which left; if this one takes "
            "its place, say so with takes_over"
        )
    db.merge(NameHolder(likeness=likeness(node.name), name=node.name, node_id=node.id))
    node.held_name = node.name
