"""Runs: federated trainings with their curves, and their starter's word on them."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from gridward.core.schemas.runs import RUN_ID_PATTERN, RoundRecord, RunState
from gridward.gateway import runs
from gridward.gateway.state import GatewayOf
from gridward.server.pages.charts import thinned
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.paging import SIZE, PageNumber, Paging, offset
from gridward.server.pages.shell import done, page
from gridward.server.state import ReadDb, WriteDb

router = APIRouter(prefix="/runs", include_in_schema=False)
RunId = Annotated[str, Path(pattern=RUN_ID_PATTERN)]
Act = Literal["pause", "resume", "cancel"]
_TO: Final[dict[Act, RunState]] = {
    "pause": RunState.PAUSED,
    "resume": RunState.RUNNING,
    "cancel": RunState.CANCELLED,
}
_ROUNDS: Final = 500
_SHOWN: Final = 10


@router.get("")
def show_runs(request: Request, caller: PageCaller, db: ReadDb, number: PageNumber = 1) -> Response:
    """List runs, the newest first."""
    found = runs.list_visible(db, caller, offset(number), SIZE)
    return page(request, "runs.html", caller, found=found, paging=Paging(number, found.total))


@router.get("/{run_id}")
def show_run(request: Request, caller: PageCaller, db: ReadDb, run_id: RunId) -> Response:
    """Show how a run goes: curves of its last rounds, and what each node did in the latest."""
    it = runs.get(db, caller, run_id)
    rounds = runs.last_rounds(db, caller, run_id, _ROUNDS)
    return page(
        request,
        "run.html",
        caller,
        it=it,
        curves=curves_of(rounds),
        rounds=list(reversed(rounds[-_SHOWN:])),
        own=it.started_by == caller.name,
        open=it.state in runs.OPEN,
    )


@router.post("/{run_id}/{act}")
def decide(
    request: Request, caller: FormCaller, gateway: GatewayOf, db: WriteDb, run_id: RunId, act: Act
) -> Response:
    """Pause, resume or cancel a run."""
    runs.decide(gateway, db, caller, run_id, _TO[act])
    return done(request, f"/runs/{run_id}", "saved")


def curves_of(rounds: list[RoundRecord]) -> dict[str, list[tuple[int, float]]]:
    """Return the points of what rounds tell: training's means by rows, then validation, the loss first."""
    told: dict[str, list[tuple[int, float]]] = {}
    for record in rounds:
        means = _means(record) | {f"validation {name}": value for name, value in record.validation.items()}
        for name, value in means.items():
            told.setdefault(name, []).append((record.number, value))
    names = sorted(told, key=lambda name: (not name.endswith("loss"), name))
    return {name: thinned(told[name]) for name in names}


def _means(record: RoundRecord) -> dict[str, float]:
    rows: dict[str, int] = {}
    sums: dict[str, float] = {}
    for node in record.nodes:
        for name, value in node.metrics.items():
            rows[name] = rows.get(name, 0) + node.rows
            sums[name] = sums.get(name, 0.0) + value * node.rows
    return {name: total / rows[name] for name, total in sums.items() if rows[name]}
