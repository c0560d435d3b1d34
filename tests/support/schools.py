"""A node that trains by adding: small enough to say what a federated run must come to."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, Final

import httpx2
import torch
from torch import nn

from gridward.client import wire
from gridward.client.federation.setup import Choice, Setup
from gridward.client.federation.sites import sites_of
from gridward.client.federation.terms import Terms
from gridward.client.training import Lesson, Recipe, Run
from gridward.core.federation.schedules import Constant, RateSchedule
from gridward.core.federation.strategies import LocalRule, Strategy
from gridward.core.schemas.tensor import Tensor
from tests.support.places import RecordingPlace

DIGITS: Final = {"images": ("float32", [40, 4]), "labels": ("int64", [40])}


class School(RecordingPlace):
    """Trains by adding `step` to every parameter; `rows` is its weight. A test bends single answers."""

    def __init__(self, name: str, *, rows: int = 40, step: float = 1.0) -> None:
        super().__init__(name)
        self.rows = rows
        self.step = step
        self.asked: list[dict[str, Any]] = []
        self.polls_left = 1
        self.judge: Callable[[dict[str, torch.Tensor]], dict[str, float]] = lambda _: {"loss": 1.0}
        self.forgotten = 0
        self.bend: Callable[[dict[str, Any]], httpx2.Response | None] = lambda _: None
        self.answer = self._teach

    def _teach(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            self.forgotten += 1
            return httpx2.Response(204)
        if request.method == "POST":
            self.asked.append(json.loads(request.content))
            self.left = self.polls_left
        else:
            assert request.url.path == "/v1/trainings/trn-1"
            self.left -= 1
        trains, judges = self.asked[-1]["epochs"] > 0, "evaluation" in self.asked[-1]
        state = {
            "id": "trn-1",
            "state": "running" if self.left > 0 else "done",
            "detail": "",
            "rows": self.rows,
            "epochs_done": 1,
            "history": [{"epoch": 1, "steps": 2, "values": {"loss": float(self.rows)}}] if trains else [],
            **(
                {"validation": self.judge(self.received()), "validation_rows": self.rows // 10}
                if judges
                else {}
            ),
            "seconds": 0.5,
            "parameters": [] if self.left > 0 else self._moved(),
            "content_bytes": 0,
            "withheld": "",
            "created_at": "2026-01-01T00:00:00Z",
        }
        bent = self.bend(state)
        return httpx2.Response(200, json=state) if bent is None else bent

    def received(self) -> dict[str, torch.Tensor]:
        """The parameters of the last question."""
        sent = [Tensor.model_validate(one) for one in self.asked[-1]["parameters"]]
        return {one.name: wire.decode(one) for one in sent}

    def _moved(self) -> list[dict[str, Any]]:
        return [wire.encode(name, value + self.step).model_dump() for name, value in self.received().items()]


ANY_TERMS: Final = Terms()
THE_LAST: Final = Choice()
SAME_RATE: Final = Constant()


@cache
def _lesson(local: LocalRule) -> Lesson:
    """Traced once for all tests: it takes seconds."""
    place = RecordingPlace("nowhere")
    return Recipe().lesson(nn.Linear(4, 3), *Recipe().paired(place.dataset("digits", **DIGITS)), local)


def setup_of(
    model: nn.Module,
    schools: Iterable[School],
    strategy: Strategy,
    *,
    rounds: int = 1,
    seed: int = 0,
    terms: Terms = ANY_TERMS,
    choice: Choice = THE_LAST,
    schedule: RateSchedule = SAME_RATE,
) -> Setup:
    """A run of a linear model (4 to 3) over schools."""
    lesson = _lesson(strategy.local)
    given = {name: value.clone() for name, value in model.state_dict().items()}
    lesson = replace(lesson, parameters=dict(lesson.parameters) | given)
    sites = sites_of([school.dataset("digits", **DIGITS) for school in schools], Recipe())
    return Setup(sites, lesson, tuple(given), Run(seed=seed), rounds, strategy, terms, choice, schedule)
