"""Runs at a gateway: list them, watch one from anywhere, pause, resume or cancel it."""

import time
from collections.abc import Iterator
from typing import Final

from gridward.client import notebook
from gridward.client.paging import collected, collected_up_to
from gridward.client.place import segment
from gridward.client.progress import bar
from gridward.client.transport import Transport
from gridward.core.errors import NodeUnreachableError, NotSignedInError
from gridward.core.schemas.runs import RoundRecord, RoundsOut, RunOut, RunsOut, RunState

OPEN: Final = (RunState.RUNNING, RunState.PAUSED)
_QUIET_S: Final = 45.0
_AGAIN_S: Final = 1.0
_LOST: Final = 30


class FederatedRun:
    """A federated training, as the gateway knows it: numbers, never parameters. Get one from ``grid.run``."""

    def __init__(self, transport: Transport, facts: RunOut) -> None:
        self._transport = transport
        self._facts = facts

    @property
    def id(self) -> str:
        """Its id, for ``grid.run`` and ``grid.resume``."""
        return self._facts.id

    @property
    def facts(self) -> RunOut:
        """What was known of it when it was last asked; ``refresh`` asks again."""
        return self._facts

    def __repr__(self) -> str:
        said = self._facts
        return f"<FederatedRun {said.id} {said.state.value} {said.rounds_done}/{said.rounds} {said.model}>"

    def _repr_html_(self) -> str:
        return notebook.grid(("", ""), [(name, str(value)) for name, value in self._facts])

    def refresh(self) -> RunOut:
        """Ask how far it is."""
        self._facts = self._transport.fetch(RunOut, "GET", self._path())
        return self._facts

    def history(self) -> list[RoundRecord]:
        """Its rounds: loss, metrics, rows, seconds and bytes of every node."""
        return collected(
            lambda page: self._transport.fetch(RoundsOut, "GET", self._path("/rounds"), params=page)
        )

    def pause(self) -> RunOut:
        """Let it wait before its next round (its starter only)."""
        return self._decide("pause")

    def resume(self) -> RunOut:
        """Let it go on after ``pause``. A run whose driver has ended needs ``grid.resume``."""
        return self._decide("resume")

    def cancel(self) -> RunOut:
        """End it before its next round, for good."""
        return self._decide("cancel")

    def events(self) -> Iterator[RoundRecord | RunOut]:
        """Give rounds and the run itself as they come, from the first, until it has ended.

        A stream that was cut is taken up where it was; raises ``NodeUnreachableError`` if the gateway stays
        away.
        """
        seen, lost = 0, 0
        while True:
            try:
                for revision, event in self._stream(seen):
                    seen, lost = revision, 0
                    yield event
                if self._facts.state not in OPEN:
                    return
                self.refresh()  # renews the session, if it ended
            except (NodeUnreachableError, NotSignedInError):
                lost += 1
                if lost == _LOST:
                    raise
                time.sleep(_AGAIN_S)

    def watch(self, *, progress: bool | None = None) -> RunOut:
        """Show a bar of it until it has ended. ``progress``: None only on a terminal or in a notebook."""
        with bar(f"Run {self.id}", self._facts.rounds, shown=progress) as advance:
            for event in self.events():
                if isinstance(event, RunOut):
                    advance(event.rounds_done, _note(event))
        return self._facts

    def _stream(self, seen: int) -> Iterator[tuple[int, RoundRecord | RunOut]]:
        fields: dict[str, str] = {}
        headers = {"last-event-id": str(seen), "accept": "text/event-stream"}
        for line in self._transport.lines(self._path("/events"), headers, quiet_s=_QUIET_S):
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
                continue
            if fields.get("event") == "round":
                yield int(fields["id"]), RoundRecord.model_validate_json(fields["data"])
            elif fields.get("event") == "run":
                self._facts = RunOut.model_validate_json(fields["data"])
                yield int(fields["id"]), self._facts
            fields = {}

    def _decide(self, act: str) -> RunOut:
        self._facts = self._transport.fetch(RunOut, "POST", self._path(f"/{act}"))
        return self._facts

    def _path(self, more: str = "") -> str:
        return f"/v1/runs/{segment(self.id)}{more}"


def _note(run: RunOut) -> str:
    state = "" if run.state is RunState.RUNNING else run.state.value
    loss = "" if run.loss is None else f"loss {run.loss:.4f}"
    return "; ".join(word for word in (state, loss, run.detail) if word)


def listed(transport: Transport, limit: int = 100) -> list[FederatedRun]:
    """List the runs that one may see, the newest first."""
    found, _ = collected_up_to(limit, lambda page: transport.fetch(RunsOut, "GET", "/v1/runs", params=page))
    return [FederatedRun(transport, facts) for facts in found]


def found(transport: Transport, run_id: str) -> FederatedRun:
    """Find a run; raises ``ObjectNotFoundError``."""
    return FederatedRun(transport, transport.fetch(RunOut, "GET", f"/v1/runs/{segment(run_id)}"))
