"""A run's changes as server-sent events: a watcher that was cut off goes on where it was."""

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import anyio
from anyio.to_thread import run_sync

from gridward.core.errors import ObjectNotFoundError
from gridward.core.schemas.runs import RoundRecord, RunOut
from gridward.gateway import runs
from gridward.gateway.state import Gateway
from gridward.server.principals import Principal

_POLL_S: Final = 0.5
_QUIET_S: Final = 15.0
_STREAM_S: Final = 300.0


async def stream(gateway: Gateway, caller: Principal, run_id: str, since: int) -> AsyncIterator[str]:
    """Give rounds and the run itself as they change after revision `since`, until the run has ended.

    Ends after five minutes too, so that a watcher shows its right anew; it comes again with `Last-Event-ID`.
    A comment now and then tells proxies that the stream lives.
    """
    until = time.monotonic() + _STREAM_S
    spoken = time.monotonic()
    while time.monotonic() < until:
        try:
            run, rounds, all_of_them = await run_sync(partial(_changes, gateway, caller, run_id, since))
        except ObjectNotFoundError:
            return
        if run.revision > since:
            for revision, record in rounds:
                yield _event("round", revision, record)
                since = revision
            spoken = time.monotonic()
            if not all_of_them:
                continue
            yield _event("run", run.revision, run)
            since = run.revision
        if run.state not in runs.OPEN:
            return
        if time.monotonic() - spoken > _QUIET_S:
            yield ": still here\n\n"
            spoken = time.monotonic()
        await anyio.sleep(_POLL_S)


def _changes(
    gateway: Gateway, caller: Principal, run_id: str, since: int
) -> tuple[RunOut, list[tuple[int, RoundRecord]], bool]:
    with gateway.database.read() as db:
        return runs.changes(db, caller, run_id, since)


def _event(kind: str, revision: int, said: RunOut | RoundRecord) -> str:
    return f"id: {revision}\nevent: {kind}\ndata: {said.model_dump_json()}\n\n"
