"""Examples of runs; see ``examples``."""

from collections.abc import Mapping
from typing import Any, Final

_ID: Final = "run-0123456789abcdef01234567"
_TIME: Final = "2026-02-03T10:15:00Z"
_ROUND: Final = {
    "number": 1,
    "seconds": 12.5,
    "nodes": [
        {
            "node": "hospital",
            "rows": 540,
            "seconds": 9.8,
            "metrics": {"loss": 0.61},
            "validation": {"loss": 0.72, "accuracy": 0.78},
            "validation_rows": 60,
            "sent_bytes": 104000,
            "received_bytes": 103000,
        }
    ],
    "failures": {"public": "'public' was late: 1 of 2 epochs were done when the round ended"},
    "validation": {"loss": 0.6, "accuracy": 0.81},
}
_RUN: Final = {
    "id": _ID,
    "started_by": "dana",
    "model": "Sequential",
    "strategy": "FedAvg",
    "nodes": ["hospital", "public"],
    "rounds": 10,
    "rounds_done": 1,
    "state": "running",
    "detail": "1 of 2 nodes; public last seen 4 min ago",
    "best_round": None,
    "loss": 0.61,
    "revision": 3,
    "created_at": _TIME,
    "heard_at": _TIME,
}
_PAGE: Final = {"total": 1, "offset": 0, "limit": 50}
RUN_EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "RunIn": {key: _RUN[key] for key in ("id", "model", "strategy", "nodes", "rounds")},
    "RunOut": _RUN,
    "RunsOut": {"items": [_RUN], **_PAGE},
    "RoundRecord": _ROUND,
    "RoundsOut": {"items": [_ROUND], **_PAGE},
    "RunWord": {"state": "done", "best_round": 8},
}
