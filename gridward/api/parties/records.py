"""Deployments that this node has a role in: stored, found again, and who may speak about them."""

from collections.abc import Sequence

from sqlmodel import Session, col, func, select

from gridward.api import queries
from gridward.api.node import Node
from gridward.api.parties.documents import check_roles
from gridward.api.parties.roles import Record, Role
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.deployments import Deployment
from gridward.core.errors import ConflictError, DeploymentRefusedError, ObjectNotFoundError
from gridward.core.identity import read_sign_key
from gridward.core.schemas.deployments import DeploymentDocument, DeploymentState, RoleHolder
from gridward.server import tokens
from gridward.server.audit import record
from gridward.server.signing import verify_request


def find(node: Node, deployment_id: str, role: Role, *, ending: bool = False) -> Record:
    """Load a deployment in which this node has the role, or raise ``ObjectNotFoundError``.

    With ``ending`` also one that was closed and not wiped to the end. Reading a row means to check its whole
    document, so it is remembered until this node changes it.
    """
    known, seen = node.room.records.get(deployment_id)
    if known is not None and known.role is role:
        return known
    with node.database.read() as db:
        row = db.get(Deployment, deployment_id)
    if (
        row is None
        or row.role != role
        or (row.state == DeploymentState.CLOSED and not (ending and row.document))
    ):
        raise ObjectNotFoundError(f"this node is not {role.value} of a deployment {deployment_id}")
    record = record_of(row)
    if record.state is not DeploymentState.CLOSED:
        node.room.records.put(deployment_id, record, seen)
    return record


def record_of(row: Deployment) -> Record:
    """Read a stored row."""
    document = DeploymentDocument.model_validate(row.document)
    return Record(document, Role(row.role), row.position, DeploymentState(row.state))


def remember(
    node: Node, db: Session, document: DeploymentDocument, role: Role, position: int, created_by: str
) -> None:
    """Store a deployment; the same document again changes nothing, another under its id is refused.

    So is one that ended here: the provider may still hold its masks, which hid other parameters.
    """
    stored = document.model_dump(mode="json", by_alias=True)
    known = db.get(Deployment, document.id)
    if known is None and role is not Role.HOST:
        _require_room(node, db, document)
    if known is not None:
        if known.state == DeploymentState.CLOSED:
            raise ConflictError(f"deployment {document.id} has ended here; propose it under another id")
        if known.document != stored or known.role != role:
            raise ConflictError(f"this node knows another deployment {document.id}")
        return
    db.add(
        Deployment(
            id=document.id,
            role=role.value,
            position=position,
            model_id=document.model_id,
            host_id=document.host.node_id,
            state=DeploymentState.PROPOSED.value,
            document=stored,
            created_by=created_by,
            created_at=node.clock(),
        )
    )
    log(node, db, created_by, f"deployment.{role.value}.accept", document.id)


def _require_room(node: Node, db: Session, document: DeploymentDocument) -> None:
    """Refuse a host that leaves too many deployments here as proposals."""
    rows = select(func.count()).where(
        col(Deployment.host_id) == document.host.node_id,
        col(Deployment.state) == DeploymentState.PROPOSED.value,
        col(Deployment.role) != Role.HOST.value,
    )
    if db.exec(rows).one() >= node.settings.deployments_proposed:
        raise DeploymentRefusedError(
            f"{document.host.name} has {node.settings.deployments_proposed} deployments at "
            f"{node.settings.name} that are proposed and not ready; make some ready or withdraw them"
        )


def of_role(node: Node, role: Role) -> list[Record]:
    """List the deployments in which this node has a role and that have not ended, oldest first."""
    with node.database.read() as db:
        rows = select(Deployment).where(
            col(Deployment.role) == role.value, col(Deployment.state) != DeploymentState.CLOSED.value
        )
        return [record_of(row) for row in db.exec(rows.order_by(col(Deployment.created_at))).all()]


def unburied(node: Node) -> list[str]:
    """List the deployments that were closed here and not wiped to the end."""
    with node.database.read() as db:
        rows = select(Deployment).where(col(Deployment.state) == DeploymentState.CLOSED.value)
        return [row.id for row in db.exec(rows).all() if row.document]


def set_state(node: Node, deployment_id: str, state: DeploymentState, actor: str) -> None:
    """Move a deployment that has not ended to a state."""
    with node.database.write() as db:
        row = db.get(Deployment, deployment_id)
        if row is None or row.state == DeploymentState.CLOSED:
            raise ObjectNotFoundError(f"there is no deployment {deployment_id}")
        row.state = state.value
        db.add(row)
        log(node, db, actor, f"deployment.{state.value}", deployment_id)
    node.room.records.drop(deployment_id)


def close(node: Node, deployment_id: str, actor: str) -> None:
    """End a role: nobody finds the deployment any more. The files are the caller's to wipe, then ``bury``."""
    with node.database.write() as db:
        row = db.get_one(Deployment, deployment_id)
        row.state = DeploymentState.CLOSED.value
        db.add(row)
        log(node, db, actor, "deployment.withdraw", deployment_id)
    node.room.records.drop(deployment_id)


def bury(node: Node, deployment_id: str) -> None:
    """Keep nothing of a closed deployment but its id, so that nobody revives it."""
    with node.database.write() as db:
        row = db.get_one(Deployment, deployment_id)
        row.document = {}
        db.add(row)


def forget(node: Node, deployment_id: str, actor: str) -> None:
    """Remove a deployment that this node hosts; parties and provider were told before."""
    with node.database.write() as db:
        row = db.get(Deployment, deployment_id)
        if row is not None:
            db.delete(row)
            log(node, db, actor, "deployment.withdraw", deployment_id)
    node.room.records.drop(deployment_id)


def deployment_of_model(db: Session, model_id: str) -> Deployment | None:
    """The deployment of a model hosted here, the newest if there are several; for the host itself."""
    rows = select(Deployment).where(
        col(Deployment.model_id) == model_id, col(Deployment.role) == Role.HOST.value
    )
    return db.exec(rows.order_by(col(Deployment.created_at).desc())).first()


def deployments_of_model(db: Session, model_id: str) -> Sequence[Deployment]:
    """Every deployment of a model hosted here; for the host itself."""
    hosted = col(Deployment.role) == Role.HOST.value
    return db.exec(select(Deployment).where(col(Deployment.model_id) == model_id, hosted)).all()


def log(node: Node, db: Session, actor: str, action: str, subject: str) -> None:
    """Write an audit row for an act of another node, or of this node itself."""
    record(db, AuditEntry, None, node.clock(), action, subject, reason=f"by {actor}")


def check_document(node: Node, document: DeploymentDocument, deployment_id: str, own: RoleHolder) -> None:
    """Check a proposed document with this node's own pinned key of the gateway; see ``check_roles``."""
    if document.id != deployment_id:
        raise ConflictError("the document is of another deployment than the path")
    with node.database.read() as db:
        membership = queries.joined_membership(db, document.gateway_id)
    if membership is None:
        raise DeploymentRefusedError(
            f"{node.settings.name} did not join the gateway that vouches for the other roles"
        )
    check_roles(document, read_sign_key(membership.sign_key), node.clock())
    if own.node_id != node.keys.id or own.seal_key != node.keys.seal_key_text:
        raise DeploymentRefusedError(f"{node.settings.name} is named with keys that are not its own")


def verify_signer(node: Node, token: str, body: bytes, target: str, *signers: RoleHolder) -> RoleHolder:
    """Say which of the expected nodes signed this request, or raise ``NotSignedInError``."""
    _, issuer = tokens.peek(token)
    holder = next((one for one in signers if one.node_id == issuer), None)
    if holder is None:
        raise ObjectNotFoundError("this deployment is not yours to speak about")
    verify_request(
        token,
        read_sign_key(holder.sign_key),
        node.keys.id,
        body,
        node.replays,
        issuer=holder.node_id,
        target=target,
        clock=node.clock,
    )
    return holder
