"""Examples of the messages of requests; see ``examples``."""

from collections.abc import Mapping
from typing import Any, Final

from gridward.core.schemas.examples import EXAMPLES

_TIME: Final = "2026-02-03T10:15:00Z"
_ASKED: Final = EXAMPLES["ComputationIn"]
_DIGEST: Final = EXAMPLES["DatasetOut"]["standing_rules"][0]["question"]
_DATASET: Final = EXAMPLES["DatasetOut"]["id"]
_ID: Final = EXAMPLES["DatasetOut"]["standing_rules"][0]["request_id"]
_VERDICT: Final = {
    "check": "rows",
    "subject": "birth-records",
    "passed": False,
    "figures": "5 rows, 10 wanted",
}
_REQUEST: Final = {
    "id": _ID,
    "asked_by": "ana",
    "reason": "mean weight for the ward's report",
    "kind": "value",
    "status": "pending",
    "digest": _DIGEST,
    "plan_digest": _DIGEST,
    "sources": [
        {"dataset_id": _DATASET, "name": "birth-records", "version": 1, "rows": 5, "tensors": ["weight"]}
    ],
    "created_at": _TIME,
    "expires_at": "2026-03-05T10:15:00Z",
    "times": 1,
    "until": None,
    "standing": False,
    "used": 0,
    "decided_by": "",
    "decided_at": None,
    "note": "",
}
REQUEST_EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "ApproveIn": {"digest": _DIGEST, "times": 1, "note": "fine for the report"},
    "ExportIn": {"reason": "to compare it with the other hospital's model"},
    "NotificationsOut": {
        "items": [
            {
                "id": 7,
                "at": _TIME,
                "request_id": _ID,
                "asked_by": "ana",
                "kind": "approved",
                "actor": "bob",
                "text": "fine for the report",
            }
        ],
        "total": 1,
    },
    "PreviewOut": {"values": EXAMPLES["ComputationOut"]["values"], "verdicts": [_VERDICT]},
    "RemarkIn": {"text": "which report is it for?"},
    "RequestDetail": {
        **_REQUEST,
        "plan": _ASKED["plan"],
        "feeds": _ASKED["sources"],
        "values": [],
        "operations": [
            "x0: float64[5] = 'weight' of dataset 'birth-records'",
            "t0: float64[] = mean.dim(x0, keepdim=False)",
            "output output: float64[] = t0",
        ],
        "reviewers": 1,
        "agreed": [],
        "events": [
            {"at": _TIME, "actor": "ana", "kind": "asked", "text": "mean weight for the ward's report"}
        ],
        "verdicts": [_VERDICT],
        "overlap": {"total": 0, "newest": []},
    },
    "RequestIn": {
        "plan": _ASKED["plan"],
        "sources": _ASKED["sources"],
        "reason": "mean weight for the ward's report",
    },
    "RequestCounts": {
        "pending": 3,
        "approved": 1,
        "denied": 1,
        "expired": 0,
        "revoked": 0,
        "withdrawn": 0,
        "used_up": 8,
    },
    "RequestsOut": {"items": [_REQUEST], "total": 1, "offset": 0, "limit": 100},
    "SeenIn": {"up_to": 7},
}
