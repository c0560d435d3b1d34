"""The rules of one dataset or model, one by one, for those who manage it."""

from datetime import datetime

from sqlmodel import Session

from gridward.api import access
from gridward.api.access import Ruled
from gridward.api.managed import hosted_model, managed_dataset
from gridward.api.node import Node
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.datasets import Dataset
from gridward.core.privacy.access import DESCRIBE
from gridward.core.schemas.access import RuleIn, RuleOut, RulesOut
from gridward.server import audit
from gridward.server.principals import Principal


def list_all(node: Node, caller: Principal, db: Session, ruled: Ruled) -> RulesOut:
    """List every rule with its conditions and how often it was used, expired and used up ones too."""
    _require_managed(caller, db, ruled, node.clock())
    return RulesOut(items=[access.shown(row) for row in access.rows_of(db, ruled)])


def add(node: Node, caller: Principal, ruled: Ruled, body: RuleIn) -> RuleOut:
    """Add one rule; others stay. One to describe a dataset takes that from those who only find it.

    Raises ``InvalidInputError`` for a condition that means nothing for the verb, or an unknown group or role;
    ``ConflictError`` where such a rule is there.
    """
    now = node.clock()
    with node.database.write() as db:
        _require_managed(caller, db, ruled, now)
        made = access.shown(access.add(db, caller, now, ruled, body))
        if made.verb == DESCRIBE and ruled.dataset_id is not None:
            db.get_one(Dataset, ruled.dataset_id).describe_apart = True
        said = body.model_dump_json(exclude_none=True)
        audit.record(db, AuditEntry, caller, now, "add_rule", _subject(made.id, ruled), reason=said)
    node.catalogue_changed.ring()
    return made


def end(node: Node, caller: Principal, ruled: Ruled, rule_id: str) -> None:
    """End one rule at once; answers that it gave and that were kept are not given again."""
    now = node.clock()
    with node.database.write() as db:
        _require_managed(caller, db, ruled, now)
        row = access.end(db, ruled, rule_id)
        said = f"{row.verb} for {row.entry}, used {row.used} times"
        audit.record(db, AuditEntry, caller, now, "end_rule", _subject(rule_id, ruled), reason=said)
    node.catalogue_changed.ring()


def _require_managed(caller: Principal, db: Session, ruled: Ruled, now: datetime) -> None:
    if ruled.dataset_id is not None:
        managed_dataset(caller, db, ruled.dataset_id, now)
    else:
        hosted_model(caller, db, ruled.model_id or "", now)


def _subject(rule_id: str, ruled: Ruled) -> str:
    return f"{rule_id},{ruled.dataset_id or f'model:{ruled.model_id}'}"
