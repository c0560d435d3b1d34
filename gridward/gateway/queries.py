"""Every SELECT over nodes and catalogues. What a user may discover is decided here, in SQL."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, exists
from sqlalchemy.orm import aliased
from sqlmodel import and_, col, or_, select
from sqlmodel.sql.expression import Select, SelectOfScalar

from gridward.core.schemas.access import SIGNED_IN
from gridward.core.schemas.gateway import NodeState
from gridward.gateway.tables import CatalogueEntry, CatalogueReader, CatalogueTerm, Node, Run, Standing
from gridward.server.principals import Principal


def reader_names(caller: Principal, gateway_name: str) -> frozenset[str]:
    """Return the discover-list entries that speak of a user of this gateway.

    Plain names and roles are those of a node's own accounts: they never speak of a gateway's user.
    """
    return frozenset({f"{caller.name}@{gateway_name}", SIGNED_IN})


def members(*, live_since: datetime | None = None) -> SelectOfScalar[Node]:
    """Approved nodes; with `live_since` only those that were heard of after that moment."""
    rows = select(Node).where(_is_member())
    return rows if live_since is None else rows.where(_is_live(live_since))


def directory(state: NodeState | None, live_since: datetime, *, also_asking: bool) -> SelectOfScalar[Node]:
    """Members in one state, or all; with `also_asking` also nodes that wait for approval or were refused."""
    rows = select(Node) if also_asking else members()
    silent = or_(col(Node.last_seen_at).is_(None), col(Node.last_seen_at) <= live_since)
    match state:
        case None:
            return rows
        case NodeState.LIVE:
            return rows.where(_is_member(), _is_live(live_since))
        case NodeState.AWAY:
            return rows.where(_is_member(), silent)
        case NodeState.PENDING | NodeState.REFUSED:
            return rows.where(col(Node.standing) == state.value)


def nodes_called(text: str, *, also_asking: bool) -> SelectOfScalar[Node]:
    """Nodes by id or by held name; with `also_asking`, also by the name that they ask for."""
    if also_asking:
        return select(Node).where(
            or_(col(Node.id) == text, col(Node.held_name) == text, col(Node.name) == text)
        )
    return select(Node).where(_is_member(), or_(col(Node.id) == text, col(Node.held_name) == text))


def discoverable(readers: frozenset[str]) -> "Select[CatalogueEntry, Node]":
    """Entries of approved nodes, live or away, that someone with these reader names may discover."""
    may = exists().where(
        col(CatalogueReader.entry_key) == col(CatalogueEntry.key), col(CatalogueReader.reader).in_(readers)
    )
    return (
        select(CatalogueEntry, Node)
        .join(Node, and_(col(Node.id) == col(CatalogueEntry.node_id), _is_member()))
        .where(may)
    )


def found(
    readers: frozenset[str], live_since: datetime, terms: Iterable[str], kind: str | None
) -> "Select[CatalogueEntry, Node]":
    """Discoverable entries of live nodes that have every one of `terms`, of one kind if it is given."""
    rows = discoverable(readers).where(_is_live(live_since))
    for term in sorted(terms):
        rows = rows.where(_has(term))
    return rows if kind is None else rows.where(col(CatalogueEntry.kind) == kind)


def hosts_of_model(readers: frozenset[str], model_id: str) -> "Select[CatalogueEntry, Node]":
    """Discoverable models of this id, the earliest known first."""
    return (
        discoverable(readers)
        .where(col(CatalogueEntry.kind) == "model", col(CatalogueEntry.ref) == model_id)
        .order_by(col(CatalogueEntry.first_seen_at), col(CatalogueEntry.key))
    )


def _has(term: str) -> ColumnElement[bool]:
    one = aliased(CatalogueTerm)
    return col(CatalogueEntry.key).in_(select(one.entry_key).where(col(one.term) == term))


def _is_member() -> ColumnElement[bool]:
    return col(Node.standing) == Standing.APPROVED.value


def _is_live(since: datetime) -> ColumnElement[bool]:
    return col(Node.last_seen_at) > since


def visible_runs(caller: Principal) -> SelectOfScalar[Run]:
    """Runs that somebody started; those who see everything here see everybody's."""
    rows = select(Run)
    return rows if caller.owner else rows.where(col(Run.user_id) == caller.user_id)
