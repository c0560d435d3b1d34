"""The gateway as witness of its nodes' audit logs: it keeps what they sign, so that none gets shorter unseen.

A head says how many entries a log has and what the last one's digest is, and nothing of what is in them.
"""

from sqlmodel import Session, col, select

from gridward.core.audit import check_head
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.audit import AuditHead
from gridward.core.schemas.gateway import WitnessedOut
from gridward.gateway.state import Gateway
from gridward.gateway.tables import ACCOUNT_TABLES, WitnessedHead
from gridward.server import audit


def hear(gateway: Gateway, db: Session, node_id: str, head: AuditHead | None) -> AuditHead | None:
    """Keep a node's head; return that of the longest log it ever signed for.

    A head that contradicts what the node signed before (fewer entries, or other ones) is put into the
    gateway's own log, once for each head that it contradicts, and changes nothing of what is kept.
    """
    longest = db.exec(
        select(WitnessedHead)
        .where(col(WitnessedHead.node_id) == node_id)
        .order_by(col(WitnessedHead.count).desc())
        .limit(1)
    ).first()
    if head is None:
        return _read(longest)
    check_head(head)
    if head.server != node_id:
        raise InvalidInputError("audit: this is the head of another server's log")
    known = _read(longest)
    if known is not None and head.at <= known.at:
        return known  # it was overtaken on the way
    if longest is not None and known is not None and _contradicts(head, known):
        if not longest.contradicted:
            longest.contradicted = True
            db.add(longest)
            said = f"signed for {known.count} entries before, and for {head.count} now: some are not the same"
            audit.record(
                db, ACCOUNT_TABLES.audit, None, gateway.clock(), "node_audit_lost", node_id, reason=said
            )
        return known
    if known is None or head.count > known.count:
        hour = gateway.clock().replace(minute=0, second=0, microsecond=0)
        row = longest
        if row is None or row.contradicted or row.hour != hour:
            row = WitnessedHead(node_id=node_id, hour=hour, count=0, head={})
        row.count, row.head = head.count, head.model_dump(mode="json")
        db.add(row)
    return known


def list_heads(db: Session, node_id: str) -> WitnessedOut:
    """List what is kept of a node."""
    rows = db.exec(
        select(WitnessedHead).where(col(WitnessedHead.node_id) == node_id).order_by(col(WitnessedHead.key))
    ).all()
    return WitnessedOut(items=[AuditHead.model_validate(row.head) for row in rows])


def _contradicts(head: AuditHead, known: AuditHead) -> bool:
    return head.count < known.count or (head.count == known.count and head.digest != known.digest)


def _read(row: WitnessedHead | None) -> AuditHead | None:
    return None if row is None else AuditHead.model_validate(row.head)
