"""Numbers of a node that its metrics show: how much waits and how much is left, nothing of data."""

from sqlmodel import col, func, select

from gridward.api.node import Node
from gridward.api.parties import records, stock
from gridward.api.parties.roles import Role
from gridward.api.tables.requests import AccessRequest
from gridward.core.errors import GridError
from gridward.core.privacy.approvals import Outcome
from gridward.server.metrics import Gauge, of_accounts


def of_node(node: Node) -> list[Gauge]:
    """What the metrics of a node show beside its requests."""
    return [
        *of_accounts(node.accounts),
        Gauge(
            "gridward_computations",
            "Computations that run or wait for a worker.",
            lambda: node.workers.computations.taken,
        ),
        Gauge(
            "gridward_trainings",
            "Trainings that run or wait for a worker.",
            lambda: node.trainings.admission.taken,
        ),
        Gauge("gridward_requests_open", "Requests that wait for a decision.", lambda: _open_requests(node)),
        Gauge("gridward_bundles_left", "Bundles that this party can still spend.", lambda: _bundles(node)),
    ]


def _open_requests(node: Node) -> int:
    waiting = (
        select(func.count())
        .select_from(AccessRequest)
        .where(col(AccessRequest.outcome) == Outcome.OPEN.value, col(AccessRequest.expires_at) > node.clock())
    )
    with node.database.read() as db:
        return db.exec(waiting).one()


def _bundles(node: Node) -> int:
    total = 0
    for record in records.of_role(node, Role.PARTY):
        try:
            total += stock.pool_of(node, record).left
        except GridError:  # it ended meanwhile, or its ledger is damaged: nothing of it can be spent
            continue
    return total
