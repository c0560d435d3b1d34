"""Runs: what drivers tell of federated trainings, who may see it, and the starter's word on them.

Numbers and names only: no parameter passes here. A run is its starter's; those who see everything on this
gateway see it too, and change nothing.
"""

import json
from typing import Any, Final

from sqlalchemy import func
from sqlmodel import Session, col, select

from gridward.core.errors import ConflictError, InvalidInputError, ObjectNotFoundError, TooLargeError
from gridward.core.schemas.runs import RoundRecord, RoundsOut, RunIn, RunOut, RunsOut, RunState, RunWord
from gridward.gateway import queries
from gridward.gateway.state import Gateway
from gridward.gateway.tables import ACCOUNT_TABLES, Run, RunRound
from gridward.server import audit
from gridward.server.principals import Capability, Principal

OPEN: Final = (RunState.RUNNING, RunState.PAUSED)
_MOST_BYTES: Final = 64 << 20
_MOST_RUNS: Final = 1000
_CHANGES: Final = 200


def begin(gateway: Gateway, db: Session, caller: Principal, body: RunIn) -> RunOut:
    """Note that a run begins, or that its driver takes it up again.

    Raises `AuthorizationError` for those who may not train, `ObjectNotFoundError` if the id is another's,
    `ConflictError` if it was cancelled, or if the caller has too many runs that have not ended.
    """
    caller.require(Capability.TRAIN)
    now = gateway.clock()
    run = db.get(Run, body.id, with_for_update=True)
    if run is None:
        _make_room(gateway, db, caller)
        facts = body.model_dump()
        run = Run(
            **facts,
            user_id=caller.user_id or "",
            started_by=caller.name,
            state=RunState.RUNNING.value,
            created_at=now,
            heard_at=now,
        )
    else:
        _own(caller, run)
        if run.state == RunState.CANCELLED:
            raise ConflictError(f"the run {run.id} was cancelled; start another")
        if run.state != RunState.PAUSED:
            _change(run, RunState.RUNNING, "")
        run.heard_at = now
    db.add(run)
    db.flush()
    audit.record(db, ACCOUNT_TABLES.audit, caller, now, "begin_run", run.id)
    return described(run)


def list_visible(db: Session, caller: Principal, offset: int, limit: int) -> RunsOut:
    """List the runs that the caller may see, the newest first."""
    wanted = queries.visible_runs(caller)
    total = db.exec(select(func.count()).select_from(wanted.subquery())).one()
    rows = wanted.order_by(col(Run.created_at).desc(), col(Run.id)).offset(offset).limit(limit)
    return RunsOut(items=[described(run) for run in db.exec(rows)], total=total, offset=offset, limit=limit)


def get(db: Session, caller: Principal, run_id: str) -> RunOut:
    """Describe a run; raises `ObjectNotFoundError` if it is missing or hidden."""
    return described(_visible(db, caller, run_id))


def list_rounds(db: Session, caller: Principal, run_id: str, offset: int, limit: int) -> RoundsOut:
    """List a run's rounds in their order."""
    _visible(db, caller, run_id)
    wanted = select(RunRound).where(col(RunRound.run_id) == run_id)
    total = db.exec(select(func.count()).select_from(wanted.subquery())).one()
    rows = db.exec(wanted.order_by(col(RunRound.number)).offset(offset).limit(limit))
    items = [RoundRecord.model_validate(row.record) for row in rows]
    return RoundsOut(items=items, total=total, offset=offset, limit=limit)


def last_rounds(db: Session, caller: Principal, run_id: str, count: int) -> list[RoundRecord]:
    """Give so many of a run's rounds, the last ones, in their order."""
    _visible(db, caller, run_id)
    wanted = select(RunRound).where(col(RunRound.run_id) == run_id)
    rows = db.exec(wanted.order_by(col(RunRound.number).desc()).limit(count)).all()
    return [RoundRecord.model_validate(row.record) for row in reversed(rows)]


def add_round(gateway: Gateway, db: Session, caller: Principal, run_id: str, body: RoundRecord) -> RunOut:
    """Note a round that counted; told again, it takes the place of what was told before.

    The answer says whether the run goes on. Raises `ConflictError` if the run has ended, `TooLargeError` if
    its rounds take too many bytes.
    """
    run = _of_driver(db, caller, run_id)
    if body.number > run.rounds:
        raise InvalidInputError(f"number: the run {run.id} has {run.rounds} rounds")
    run.rounds_done = max(run.rounds_done, body.number)
    run.revision += 1
    run.heard_at = gateway.clock()
    run.detail = ""
    if body.number == run.rounds_done:
        run.loss = _loss(body)
    row = db.get(RunRound, (run_id, body.number)) or RunRound(
        run_id=run_id, number=body.number, revision=0, record={}
    )
    record = body.model_dump(mode="json")
    run.stored_bytes += _size(record) - _size(row.record)
    if run.stored_bytes > _MOST_BYTES:
        raise TooLargeError(
            f"the rounds of {run.id} take more than the {_MOST_BYTES} bytes that a run has here; it goes on, "
            "and its further rounds are not shown"
        )
    row.revision, row.record = run.revision, record
    db.add(run)
    db.add(row)
    db.flush()
    return described(run)


def hear(gateway: Gateway, db: Session, caller: Principal, run_id: str, body: RunWord) -> RunOut:
    """Note what the driver says; a paused run stays paused while it waits, and a cancelled one cancelled."""
    run = _of_driver(db, caller, run_id)
    now = gateway.clock()
    run.heard_at = now
    cancelled = run.state == RunState.CANCELLED  # for good: no word of its driver's changes that
    if body.state is not RunState.RUNNING and not cancelled:
        _change(run, RunState(body.state), body.detail)
        run.best_round = body.best_round
        audit.record(
            db, ACCOUNT_TABLES.audit, caller, now, "end_run", run.id, decision=run.state, reason=run.detail
        )
    elif body.detail != run.detail and not cancelled:
        run.detail, run.revision = body.detail, run.revision + 1
    db.add(run)
    db.flush()
    return described(run)


def decide(gateway: Gateway, db: Session, caller: Principal, run_id: str, to: RunState) -> RunOut:
    """Pause, resume or cancel a run of the caller's; its driver obeys before its next round.

    Raises `ConflictError` if it has ended.
    """
    run = db.get(Run, run_id, with_for_update=True)
    run = _own(caller, run, run_id)
    if run.state not in OPEN:
        raise ConflictError(f"the run {run.id} is {run.state}")
    if run.state != to:
        _change(run, to, "")
        audit.record(
            db, ACCOUNT_TABLES.audit, caller, gateway.clock(), "decide_run", run.id, decision=to.value
        )
    db.add(run)
    db.flush()
    return described(run)


def changes(
    db: Session, caller: Principal, run_id: str, since: int
) -> tuple[RunOut, list[tuple[int, RoundRecord]], bool]:
    """Give the run, and its rounds that were told after a revision, each with its own; True: it is all."""
    run = described(_visible(db, caller, run_id))
    rows = db.exec(
        select(RunRound)
        .where(col(RunRound.run_id) == run_id, col(RunRound.revision) > since)
        .order_by(col(RunRound.revision))
        .limit(_CHANGES + 1)
    ).all()
    told = [(row.revision, RoundRecord.model_validate(row.record)) for row in rows[:_CHANGES]]
    return run, told, len(rows) <= _CHANGES


def described(run: Run) -> RunOut:
    """Say what may be known of a run."""
    return RunOut.model_validate(run.model_dump(exclude={"user_id"}))


def _change(run: Run, state: RunState, detail: str) -> None:
    run.state, run.detail, run.revision = state.value, detail, run.revision + 1


def _visible(db: Session, caller: Principal, run_id: str) -> Run:
    run = db.exec(queries.visible_runs(caller).where(col(Run.id) == run_id)).first()
    if run is None:
        raise ObjectNotFoundError(f"no run '{run_id}' of yours")
    return run


def _own(caller: Principal, run: Run | None, run_id: str = "") -> Run:
    if run is None or not caller.acts_for(run.user_id, Capability.TRAIN):
        raise ObjectNotFoundError(f"no run '{run.id if run else run_id}' of yours")
    return run


def _of_driver(db: Session, caller: Principal, run_id: str) -> Run:
    run = _own(caller, db.get(Run, run_id, with_for_update=True), run_id)
    if run.state in (RunState.DONE, RunState.FAILED):
        raise ConflictError(f"the run {run.id} is {run.state}")
    return run


def _make_room(gateway: Gateway, db: Session, caller: Principal) -> None:
    """Let the oldest run of the caller's that has ended go, if there are too many."""
    own = select(Run).where(col(Run.user_id) == caller.user_id)
    if db.exec(select(func.count()).select_from(own.subquery())).one() < _MOST_RUNS:
        return
    ended = own.where(col(Run.state).not_in([state.value for state in OPEN]))
    oldest = db.exec(ended.order_by(col(Run.created_at), col(Run.id)).limit(1)).first()
    if oldest is None:
        raise ConflictError(f"you have {_MOST_RUNS} runs here that have not ended; cancel one first")
    db.delete(oldest)
    audit.record(
        db, ACCOUNT_TABLES.audit, caller, gateway.clock(), "drop_run", oldest.id, reason="room for another"
    )


def _size(record: dict[str, Any]) -> int:
    return len(json.dumps(record)) if record else 0


def _loss(record: RoundRecord) -> float | None:
    told = [(node.metrics["loss"], node.rows) for node in record.nodes if "loss" in node.metrics]
    rows = sum(count for _, count in told)
    return sum(loss * count for loss, count in told) / rows if rows else None
