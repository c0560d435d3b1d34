"""Routes of runs."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from starlette.responses import StreamingResponse

from gridward.core.schemas.runs import (
    RUN_ID_PATTERN,
    RoundRecord,
    RoundsOut,
    RunIn,
    RunOut,
    RunsOut,
    RunState,
    RunWord,
)
from gridward.gateway import run_events, runs
from gridward.gateway.state import GatewayOf
from gridward.server.state import Caller, ReadDb, WriteDb

router = APIRouter(prefix="/v1/runs", tags=["runs"])

RunId = Annotated[str, Path(pattern=RUN_ID_PATTERN)]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1)]
EVENTS = "text/event-stream"


@router.post("", status_code=201)
def begin_run(body: RunIn, caller: Caller, gateway: GatewayOf, db: WriteDb) -> RunOut:
    """Say that a run begins, or that its driver takes it up again."""
    return runs.begin(gateway, db, caller, body)


@router.get("")
def list_runs(
    caller: Caller, db: ReadDb, offset: Offset = 0, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> RunsOut:
    """List one's own runs, the newest first; the gateway's owner sees everybody's."""
    return runs.list_visible(db, caller, offset, limit)


@router.get("/{run_id}")
def get_run(run_id: RunId, caller: Caller, db: ReadDb) -> RunOut:
    """Say where a run stands."""
    return runs.get(db, caller, run_id)


@router.get("/{run_id}/rounds")
def list_rounds(
    run_id: RunId,
    caller: Caller,
    db: ReadDb,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> RoundsOut:
    """List a run's rounds: loss, metrics, rows, seconds and bytes of every node."""
    return runs.list_rounds(db, caller, run_id, offset, limit)


@router.post("/{run_id}/rounds")
def add_round(run_id: RunId, body: RoundRecord, caller: Caller, gateway: GatewayOf, db: WriteDb) -> RunOut:
    """Tell of a round that counted; for the driver. The answer says whether the run goes on."""
    return runs.add_round(gateway, db, caller, run_id, body)


@router.post("/{run_id}/word")
def hear_run(run_id: RunId, body: RunWord, caller: Caller, gateway: GatewayOf, db: WriteDb) -> RunOut:
    """Say what a run waits for, or how it ended; for the driver."""
    return runs.hear(gateway, db, caller, run_id, body)


@router.post("/{run_id}/pause")
def pause_run(run_id: RunId, caller: Caller, gateway: GatewayOf, db: WriteDb) -> RunOut:
    """Let a run wait before its next round."""
    return runs.decide(gateway, db, caller, run_id, RunState.PAUSED)


@router.post("/{run_id}/resume")
def resume_run(run_id: RunId, caller: Caller, gateway: GatewayOf, db: WriteDb) -> RunOut:
    """Let a paused run go on."""
    return runs.decide(gateway, db, caller, run_id, RunState.RUNNING)


@router.post("/{run_id}/cancel")
def cancel_run(run_id: RunId, caller: Caller, gateway: GatewayOf, db: WriteDb) -> RunOut:
    """End a run before its next round, for good."""
    return runs.decide(gateway, db, caller, run_id, RunState.CANCELLED)


@router.get("/{run_id}/events", response_class=StreamingResponse, responses={200: {"content": {EVENTS: {}}}})
def watch_run(
    run_id: RunId,
    caller: Caller,
    gateway: GatewayOf,
    db: ReadDb,
    last_event_id: Annotated[int, Header(ge=0, le=2**31 - 1, description="The last event seen.")] = 0,
) -> StreamingResponse:
    """Follow a run: `round` and `run` events as they come, those after `Last-Event-ID` first."""
    runs.get(db, caller, run_id)
    return StreamingResponse(run_events.stream(gateway, caller, run_id, last_event_id), media_type=EVENTS)
