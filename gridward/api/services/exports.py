"""Ask people for the parameters of a model that the rules keep here, such as those of an over-fitted one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session

from gridward.api import exports, parameters
from gridward.api.exports import Export
from gridward.api.managed import visible_model
from gridward.api.node import Node
from gridward.api.provenance import grants
from gridward.api.request_entry import enter
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import AccessRequest, RequestSource
from gridward.core.errors import AuthorizationError, ConflictError, GetNotPermittedError, TooLargeError
from gridward.core.plans import codec, readable
from gridward.core.privacy.approvals import Outcome
from gridward.core.privacy.decision import Answer, Grant
from gridward.core.privacy.policy import decide_export
from gridward.core.schemas.requests import ExportIn, ReleaseKind, RequestDetail
from gridward.server.ids import new_id
from gridward.server.principals import Capability, Principal


def ask(node: Node, caller: Principal, model_id: str, body: ExportIn) -> RequestDetail:
    """Put the parameters of a model, as they are now, to those who may open the data behind them.

    Raises:
        ObjectNotFoundError: the model is missing, or hidden from the caller.
        AuthorizationError: somebody else hosts it, or the caller's role may not train.
        GetNotPermittedError: an owner takes no requests, or hides the data by now.
        DuplicateRequestError: these parameters were asked for already.
        ConflictError: the rules give them, there are none, or too many of the caller's requests wait.
        TooLargeError: the plan is longer than people could be shown.
    """
    caller.require(Capability.TRAIN)
    now = node.clock()
    with node.database.write() as db:
        model = visible_model(caller, db, model_id, now)
        if model.user_id != caller.user_id:
            raise AuthorizationError(f"only whoever hosts model '{model_id}' asks for its parameters")
        export = exports.of(db, model)
        granted = grants(caller, db, export.behind, now)
        _require_needed(export, granted)
        row = _row(node, caller, body, export, granted, now)
        if len(row.body.encode()) > node.settings.request_max_bytes:
            raise TooLargeError(f"a question to people has up to {node.settings.request_max_bytes} bytes")
        subjects = [f"model:{model.id}", *(item.table for item in export.behind)]
        return enter(node, db, caller, row, _sources(db, row.id, export), subjects)


def _require_needed(export: Export, granted: Sequence[Grant]) -> None:
    if decide_export(granted, export.learnt).answer is Answer.VALUE:
        raise ConflictError("nobody has to decide: get() gives you this model")
    closed = sorted({f"'{grant.name}'" for grant in granted if not grant.reviewers})
    if closed:
        raise GetNotPermittedError(f"the owner of {', '.join(closed)} takes no requests")


def _row(
    node: Node, caller: Principal, body: ExportIn, export: Export, granted: Sequence[Grant], now: datetime
) -> AccessRequest:
    names = ", ".join(sorted({f"'{grant.name}'" for grant in granted}))
    told = dict.fromkeys(parameters.learnt_inputs(export.plan), f"learnt from {names}: this would leave")
    return AccessRequest(
        id=new_id("req"),
        user_id=caller.user_id or "",
        asked_by=caller.name,
        reason=body.reason,
        body=export.body.model_dump_json(by_alias=True, exclude_none=True),
        digest=export.question.digest,
        standing_digest=export.question.standing,
        plan_digest=codec.digest(export.plan),
        kind=ReleaseKind.PARAMETERS.value,
        findings=[],
        operations=readable.lines(export.plan, parameters.types(export.plan), told),
        created_at=now,
        expires_at=now + timedelta(seconds=body.expires_in_s or node.settings.request_expiry_s),
        outcome=Outcome.OPEN.value,
    )


def _sources(db: Session, request_id: str, export: Export) -> list[RequestSource]:
    newest = {item.dataset_id: item for item in export.behind}  # they are in the order of their versions
    return [
        RequestSource(
            request_id=request_id,
            dataset_id=item.dataset_id,
            version=item.version,
            rows=item.rows,
            name=db.get_one(Dataset, item.dataset_id).name,
            tensors=[],
        )
        for item in newest.values()
    ]
