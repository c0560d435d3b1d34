"""Which nodes belong to the grid: join requests, the owner's word, heartbeats, the directory.

Whether a node is live is computed from `last_seen_at` when someone asks: a silent node is `away` at once when
its time has passed, and a heartbeat brings it back. Nothing sweeps.
"""

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from gridward.core.errors import (
    BusyError,
    ConflictError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.identity import decode_key, id_of
from gridward.core.schemas.gateway import (
    ApprovalIn,
    DirectoryNode,
    DirectoryOut,
    GatewayOut,
    HeartbeatIn,
    HeartbeatOut,
    JoinIn,
    JoinOut,
    NodeState,
)
from gridward.core.schemas.node import NODE_ID_PATTERN
from gridward.gateway import catalogues, names, queries, witness
from gridward.gateway.state import Gateway, SignedCall, require_self
from gridward.gateway.tables import ACCOUNT_TABLES, CatalogueEntry, Node, Standing
from gridward.server import audit, tokens, users
from gridward.server.principals import Capability, Principal

_SILENT_AFTER: Final = timedelta(days=1)
_STATES: Final = {Standing.PENDING: NodeState.PENDING, Standing.REFUSED: NodeState.REFUSED}


def about(gateway: Gateway, version: str) -> GatewayOut:
    """Return the gateway's public facts."""
    return GatewayOut(
        id=gateway.keys.id,
        name=gateway.settings.name,
        version=version,
        sign_key=gateway.keys.sign_key_text,
        owned=users.is_owned(gateway.accounts),
    )


def join(gateway: Gateway, call: SignedCall, body: JoinIn, address: str) -> Node:
    """Note that a node asks to join, or that it asks again; its id is what its key makes it.

    Security: asking reserves no name, so nobody can squat one; what strangers can make the gateway keep is
    bounded per address and in total. Raises `AlreadyExistsError` if a member holds the name or one like it.
    """
    node_id = id_of(body.sign_key)
    call.verify(gateway, node_id, body.sign_key)
    decode_key(body.seal_key)
    if re.fullmatch(NODE_ID_PATTERN, body.name):
        raise InvalidInputError("name: it looks like a node's id; choose another")
    with gateway.database.read() as db:
        if db.get(Node, node_id) is None:
            gateway.joins.take(address)
    with gateway.database.write() as db:
        return _note(db, gateway, node_id, body)


def answer_of(gateway: Gateway, node: Node, version: str) -> JoinOut:
    """Return what a node that asked to join is told."""
    return JoinOut(state=state_of(gateway, node), gateway=about(gateway, version))


def decide(gateway: Gateway, db: Session, caller: Principal, node_id: str, body: ApprovalIn) -> DirectoryNode:
    """Take a node in under an owner's label, or refuse it; a refused member leaves the grid at once."""
    caller.require(Capability.APPROVE_NODES)
    node = db.get(Node, node_id, with_for_update=True)
    if node is None:
        raise ObjectNotFoundError(f"no node '{node_id}'")
    if body.approved:
        names.give(db, node, takes_over=body.takes_over)
        node.owner, node.standing = _settled_label(db, body.owner), Standing.APPROVED.value
    else:
        node.standing, node.held_name, node.owner = Standing.REFUSED.value, None, ""
        node.catalogue_mark = None
        db.execute(delete(CatalogueEntry).where(col(CatalogueEntry.node_id) == node.id))
    db.add(node)
    act = "approve_node" if body.approved else "refuse_node"
    audit.record(
        db, ACCOUNT_TABLES.audit, caller, gateway.clock(), act, node.id, reason=f"{node.name}: {node.owner}"
    )
    db.flush()
    return describe(gateway, node)


def hear(gateway: Gateway, db: Session, signer: Node, node_id: str, body: HeartbeatIn) -> HeartbeatOut:
    """Note that a node is alive and where it answers; return its attestation, made anew."""
    require_self(signer, node_id)
    gateway.heartbeats.take(node_id)
    node = db.get(Node, node_id, with_for_update=True)
    if node is None:
        raise ObjectNotFoundError(
            f"this gateway does not know the node '{node_id}'; it must ask to join first"
        )
    member = node.standing == Standing.APPROVED
    if node.standing != Standing.REFUSED:
        if member and node.url != body.url:
            _log(db, gateway, "move_node", node.id, f"{node.url} to {body.url}")
        node.url, node.last_seen_at = body.url, gateway.clock()
        node.offers_party, node.offers_provider = body.offers_party, body.offers_provider
        db.add(node)
    witnessed = witness.hear(gateway, db, node_id, body.audit) if member else None
    mark = catalogues.mark_of(gateway.settings.name, body.catalogue_digest)
    return HeartbeatOut(
        state=state_of(gateway, node),
        next_s=gateway.settings.heartbeat_s,
        catalogue_wanted=member and node.catalogue_mark != mark,
        attestation=attest(gateway, node) if member else None,
        witnessed=witnessed,
    )


def list_nodes(
    gateway: Gateway, db: Session, viewer: Principal | Node, state: NodeState | None, offset: int, limit: int
) -> DirectoryOut:
    """List members by name; for those who approve nodes also the nodes that ask, or were refused."""
    rows = queries.directory(state, gateway.live_since(), also_asking=_approves(viewer))
    page = db.exec(rows.order_by(col(Node.name), col(Node.id)).offset(offset).limit(limit)).all()
    return DirectoryOut(
        items=[describe(gateway, node) for node in page],
        total=db.exec(select(func.count()).select_from(rows.subquery())).one(),
        offset=offset,
        limit=limit,
    )


def find(gateway: Gateway, db: Session, viewer: Principal | Node, name_or_id: str) -> DirectoryNode:
    """Return one node: by id, by the name it holds or (for those who approve) by the name it asks for."""
    rows = db.exec(queries.nodes_called(name_or_id, also_asking=_approves(viewer))).all()
    exact = [node for node in rows if name_or_id in (node.id, node.held_name)]
    asking = [node for node in rows if node.standing == Standing.PENDING]
    for group in (exact, asking, rows):
        if len(group) > 1:
            raise ConflictError(
                f"several nodes ask for the name '{name_or_id}'; name the one you mean by its id"
            )
        if group:
            return describe(gateway, group[0])
    raise ObjectNotFoundError(f"no node '{name_or_id}'")


def describe(gateway: Gateway, node: Node) -> DirectoryNode:
    """Return a node as the directory shows it, freshly attested if it is a member."""
    return DirectoryNode(
        id=node.id,
        name=node.held_name or node.name,
        url=node.url,
        owner=node.owner,
        state=state_of(gateway, node),
        sign_key=node.sign_key,
        seal_key=node.seal_key,
        offers_party=node.offers_party,
        offers_provider=node.offers_provider,
        last_seen_at=node.last_seen_at,
        attestation=attest(gateway, node) if node.standing == Standing.APPROVED else None,
    )


def attest(gateway: Gateway, node: Node) -> str:
    """Sign, for the gateway's members, who this node is and who owns it."""
    return tokens.issue(
        tokens.Kind.ATTESTATION,
        gateway.keys.sign_key,
        issuer=gateway.keys.id,
        subject=node.id,
        audience=gateway.keys.id,
        now=gateway.clock(),
        lifetime_s=gateway.settings.attestation_s,
        extra={
            "name": node.held_name,
            "url": node.url,
            "owner": node.owner,
            "sign_key": node.sign_key,
            "seal_key": node.seal_key,
        },
    )


def state_of(gateway: Gateway, node: Node) -> NodeState:
    """Say how the gateway sees a node at this moment."""
    if node.standing != Standing.APPROVED:
        return _STATES[Standing(node.standing)]
    heard = node.last_seen_at is not None and node.last_seen_at > gateway.live_since()
    return NodeState.LIVE if heard else NodeState.AWAY


def _note(db: Session, gateway: Gateway, node_id: str, body: JoinIn) -> Node:
    now = gateway.clock()
    node = db.get(Node, node_id, with_for_update=True)
    names.require_free(db, body.name, node_id)
    if node is None:
        _make_room(db, gateway.settings.joins_waiting, now)
        standing = Standing.PENDING.value
        node = Node(id=node_id, standing=standing, asked_at=now, **body.model_dump())
        _log(db, gateway, "ask_to_join", node_id, body.name)
    elif node.held_name not in (None, body.name):
        raise ConflictError(
            f"this node is a member as '{node.held_name}'; to change its name, the gateway's owner must "
            "refuse it first and approve it anew"
        )
    node.name, node.url, node.seal_key = body.name, body.url, body.seal_key
    node.offers_party, node.offers_provider = body.offers_party, body.offers_provider
    node.last_seen_at = now
    db.add(node)
    return node


def _make_room(db: Session, most: int, now: datetime) -> None:
    """Keep the number of nodes that are no members bounded: refused ones go first, then long silent ones."""
    outside = col(Node.standing) != Standing.APPROVED.value
    if db.exec(select(func.count()).select_from(Node).where(outside)).one() < most:
        return
    silent = col(Node.last_seen_at) < now - _SILENT_AFTER
    refused = col(Node.standing) == Standing.REFUSED.value
    victim = db.exec(
        select(Node.id)
        .where(outside, refused | silent)
        .order_by(refused.desc(), col(Node.last_seen_at))
        .limit(1)
    ).one_or_none()
    if victim is None:
        raise BusyError(
            "too many nodes wait for approval; ask the gateway's owner to decide", retry_after_s=60
        )
    db.execute(delete(Node).where(col(Node.id) == victim))


def _settled_label(db: Session, text: str) -> str:
    """Return the owner's label, spelled as it was before if only case or spaces differ."""
    label = " ".join(unicodedata.normalize("NFKC", text).split())
    if not label or not label.isprintable():
        raise InvalidInputError("owner: write the owner's name in printable characters")
    known = db.exec(select(Node.owner).where(col(Node.standing) == Standing.APPROVED.value).distinct()).all()
    return next((owner for owner in known if owner.casefold() == label.casefold()), label)


def _approves(viewer: Principal | Node) -> bool:
    return isinstance(viewer, Principal) and viewer.may(Capability.APPROVE_NODES)


def _log(db: Session, gateway: Gateway, act: str, subject: str, reason: str) -> None:
    audit.record(db, ACCOUNT_TABLES.audit, None, gateway.clock(), act, subject, reason=reason)
