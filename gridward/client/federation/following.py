"""What a driver tells of its run, and how it learns that the run shall wait or end."""

import time
from typing import Final, Protocol

from gridward.client.federation.history import RoundReport, record_of
from gridward.client.federation.setup import Setup
from gridward.client.federation.state import State
from gridward.client.federation.telling import Line
from gridward.client.transport import Transport
from gridward.core.errors import BusyError, ConflictError, GridError, NodeUnreachableError, TrainingError
from gridward.core.schemas.runs import RoundRecord, RunIn, RunOut, RunState, RunWord

_PAUSE_S: Final = 2.0
_SOON_S: Final = 1.0
_WORD_S: Final = 5.0
_POST_S: Final = 10.0
_END_S: Final = 10.0
_LONGEST: Final = 2000


class CancelledRunError(TrainingError):
    """Whoever started the run cancelled it."""


class Follower(Protocol):
    """Hears of a run, and says whether it goes on. What it cannot pass on does not hold the run up."""

    def begin(self, setup: Setup, state: State) -> None:
        """A run begins, or is taken up after the rounds of ``state``."""
        ...

    def tell(self, text: str) -> None:
        """It waits for something."""
        ...

    def rounds(self, *reports: RoundReport) -> None:
        """These rounds are new, or more is known of them."""
        ...

    def go_on(self) -> None:
        """Return when the next round may begin; raises ``CancelledRunError``."""
        ...

    def end(self, failed: str, best_round: int | None) -> None:
        """It has ended; ``failed`` says why, or is empty."""
        ...


class Nobody:
    """Nobody follows the run."""

    def begin(self, setup: Setup, state: State) -> None:
        """Nothing to do."""

    def tell(self, text: str) -> None:
        """Nothing to do."""

    def rounds(self, *reports: RoundReport) -> None:
        """Nothing to do."""

    def go_on(self) -> None:
        """It goes on."""

    def end(self, failed: str, best_round: int | None) -> None:
        """Nothing to do."""


class GatewayFollower:
    """The gateway follows the run; it is told beside the rounds, so that a slow gateway holds nothing up.

    One that is silent is asked less and less often; at the end it gets ten seconds to hear the rest.
    """

    def __init__(self, transport: Transport, model: str) -> None:
        self._transport = transport
        self._model = model
        self._path = ""
        self._state = RunState.RUNNING
        self._line = Line(self._post)
        self._spoken = 0.0

    def begin(self, setup: Setup, state: State) -> None:
        """Begin it there, or go on without a gateway; raises ``CancelledRunError`` if it was cancelled."""
        body = RunIn(
            id=setup.id,
            model=self._model[:100],
            strategy=type(setup.strategy).__name__[:100],
            nodes=list(setup.sites),
            rounds=setup.rounds,
        )
        try:
            self._heard(self._transport.fetch(RunOut, "POST", "/v1/runs", body=body, repeatable=True))
        except ConflictError as why:
            raise CancelledRunError(why.detail) from why
        except GridError:
            return
        self._path = f"/v1/runs/{setup.id}"
        self.rounds(*state.history)

    def tell(self, text: str) -> None:
        """Say what it waits for, not oftener than every few seconds."""
        if time.monotonic() - self._spoken > _WORD_S:
            self._spoken = time.monotonic()
            self._later("word", "/word", RunWord(detail=text[:_LONGEST]))

    def rounds(self, *reports: RoundReport) -> None:
        """Tell of rounds, in their order; of each what is known now."""
        for report in reports:
            self._later(f"round {report.number}", "/rounds", record_of(report))

    def go_on(self) -> None:
        """Wait for the gateway's word on the last round, if it comes soon, then while the run is paused."""
        self._line.settle(_SOON_S)
        while self._state is RunState.PAUSED:
            time.sleep(_PAUSE_S)
            self._later("word", "/word", RunWord(detail="paused"))
            self._line.settle(_SOON_S)
        if self._state is RunState.CANCELLED:
            raise CancelledRunError("the run was cancelled at the gateway")

    def end(self, failed: str, best_round: int | None) -> None:
        """Say that it ended, and wait until all was said, or ten seconds."""
        if self._state is not RunState.CANCELLED:
            state = RunState.FAILED if failed else RunState.DONE
            self._later(
                "word", "/word", RunWord(state=state, detail=failed[:_LONGEST], best_round=best_round)
            )
        self._line.end(_END_S)

    def _later(self, key: str, what: str, body: RunWord | RoundRecord) -> None:
        if self._path:
            self._line.say(key, what, body)

    def _post(self, what: str, body: RunWord | RoundRecord) -> bool:
        """Tell it; gives False where it was not heard and may be heard later."""
        path = self._path + what
        try:
            run = self._transport.fetch(RunOut, "POST", path, body=body, timeout_s=_POST_S, repeatable=True)
        except (NodeUnreachableError, BusyError):
            return False
        except GridError:
            return True
        self._heard(run)
        return True

    def _heard(self, run: RunOut) -> None:
        self._state = run.state
