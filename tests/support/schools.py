"""A node that trains by adding: small enough to say what a federated run must come to."""

import json
from collections.abc import Callable
from typing import Any, Final

import httpx2

from gridward.client import wire
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
        state = {
            "id": "trn-1",
            "state": "running" if self.left > 0 else "done",
            "detail": "",
            "rows": self.rows,
            "epochs_done": 1,
            "history": [{"epoch": 1, "steps": 2, "values": {"loss": float(self.rows)}}],
            "seconds": 0.5,
            "parameters": [] if self.left > 0 else self._moved(),
            "content_bytes": 0,
            "withheld": "",
            "created_at": "2026-01-01T00:00:00Z",
        }
        bent = self.bend(state)
        return httpx2.Response(200, json=state) if bent is None else bent

    def _moved(self) -> list[dict[str, Any]]:
        sent = [Tensor.model_validate(one) for one in self.asked[-1]["parameters"]]
        return [wire.encode(one.name, wire.decode(one) + self.step).model_dump() for one in sent]
