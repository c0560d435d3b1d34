"""How this node is doing: for those who manage it."""

import platform
import shutil
from collections import Counter
from importlib.metadata import version

from sqlmodel import Session, col, func, select

from gridward.api import queries
from gridward.api.node import Node
from gridward.api.parties.roles import Role
from gridward.api.services import memberships
from gridward.api.tables.deployments import Deployment
from gridward.api.workers import Admission
from gridward.core.schemas.deployments import DeploymentState
from gridward.core.schemas.status import AuditStateOut, HeldRolesOut, NodeStatusOut, QueueOut, StorageOut
from gridward.server import audit_heads
from gridward.server.principals import Capability, Principal


def describe(node: Node, caller: Principal) -> NodeStatusOut:
    """Say what is stored, what runs and waits, which roles it has, and what its gateways heard."""
    caller.require(Capability.MANAGE_SERVER)
    listener, budget = node.room.listener, node.offline.budget
    with node.database.read() as db:
        storage, roles = _storage(node, db), _roles(db)
        engine = db.connection().dialect
    return NodeStatusOut(
        started_at=node.started_at,
        versions={
            "gridward": version("gridward"),
            "python": platform.python_version(),
            "torch": version("torch"),
            engine.name: ".".join(map(str, engine.server_version_info or ())),
        },
        storage=storage,
        queues=[
            _queue("computations", node.workers.computations, node.settings.plan_workers),
            _queue("trainings", node.trainings.admission, node.settings.trainings_at_once),
        ],
        memberships=memberships.list_all(node, caller).items,
        roles=roles,
        lane_port=listener.port if listener is not None else None,
        bundle_bytes=budget.used_bytes,
        bundle_limit_bytes=budget.limit_bytes,
        audit=AuditStateOut(
            head=audit_heads.head(node.accounts),
            kept=len(audit_heads.read(node.settings.data_dir, node.keys.id)),
        ),
    )


def _storage(node: Node, db: Session) -> StorageOut:
    disk = shutil.disk_usage(node.settings.data_dir)
    return StorageOut(
        stored_bytes=queries.stored_bytes(db, None),
        limit_bytes=node.settings.upload_total_bytes,
        free_bytes=disk.free,
        disk_bytes=disk.total,
    )


def _queue(name: str, admission: Admission, workers: int) -> QueueOut:
    taken = admission.taken
    running = min(taken, workers)
    return QueueOut(
        name=name, running=running, waiting=taken - running, workers=workers, places=admission.places
    )


def _roles(db: Session) -> list[HeldRolesOut]:
    rows = select(Deployment.role, Deployment.state, func.count()).group_by(
        col(Deployment.role), col(Deployment.state)
    )
    found = Counter({(role, state): count for role, state, count in db.exec(rows).all()})
    return [
        HeldRolesOut(
            role=role.value,
            proposed=found[role.value, DeploymentState.PROPOSED.value],
            ready=found[role.value, DeploymentState.READY.value],
        )
        for role in Role
    ]
