"""The one door out: whatever of private data leaves this node was decided and written down here first.

A decision, its reason and the plan's digest are one row of the audit log, committed before the answer leaves.
"""

from collections.abc import Sequence

from gridward.api.node import Node
from gridward.api.tables.accounts import AuditEntry
from gridward.core.errors import GetNotPermittedError, GridError, ResultSuppressedError
from gridward.core.privacy.policy import Answer, Decision
from gridward.server.audit import record
from gridward.server.principals import Principal


def settle(
    node: Node,
    caller: Principal,
    decision: Decision,
    *,
    action: str,
    subjects: Sequence[str],
    plan_digest: str | None,
    refused: type[GridError] = GetNotPermittedError,
) -> None:
    """Write the decision down; return iff the value may leave.

    Raises:
        GetNotPermittedError: refused; or ``refused``, where another error fits the act better.
        ResultSuppressedError: too few rows are behind the value.
    """
    with node.database.write() as db:
        record(
            db,
            AuditEntry,
            caller,
            node.clock(),
            action,
            ",".join(subjects),
            decision=decision.answer.value,
            reason=decision.reason.value,
            plan_digest=plan_digest,
        )
    if decision.answer is Answer.SUPPRESSED:
        raise ResultSuppressedError(decision.detail)
    if decision.answer is not Answer.VALUE:
        raise refused(decision.detail)
