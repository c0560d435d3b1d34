"""An example of a report; see ``examples``."""

from typing import Any, Final

from gridward.core.schemas.examples_disclosure import DISCLOSURE

_TIME: Final = "2026-02-03T10:15:00Z"
_DIGEST: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
REPORT_EXAMPLE: Final[dict[str, Any]] = {
    "node": "hospital",
    "version": "0.1.0",
    "since": None,
    "until": _TIME,
    "head": {
        "server": "mfrggzdfmztwq2lknnwg23tpoa",
        "sign_key": "A" * 42 + "E",
        "count": 1832,
        "digest": _DIGEST,
        "at": _TIME,
        "signature": "0" * 128,
    },
    "flaws": [],
    "projects": [
        {
            "request_id": "req-0123456789abcdef01234567",
            "asked_by": "ana",
            "reason": "ward report",
            "datasets": ["birth-records"],
            "status": "used_up",
            "decided_by": "bob",
            "used": 1,
            "created_at": _TIME,
        }
    ],
    "projects_total": 1,
    "people": [
        {
            "username": "bob",
            "role": "owner",
            "disabled": False,
            "second_factor": True,
            "sign_ins": 3,
            "refused_sign_ins": 0,
        }
    ],
    "settings": [{"name": "second factor needed for", "value": "owner, data_officer"}],
    "data": [
        {
            "dataset_id": "ds-0123456789abcdef01234567",
            "name": "birth-records",
            "version": 1,
            "rows": 1832,
            "published_by": "bob",
            "entity": "mother_id",
            "min_rows": 10,
            "reviewers": 1,
            "disclosure": DISCLOSURE,
            "access": {"compute": ["@signed-in"]},
            "standing_rules": 0,
        }
    ],
    "decisions": [{"action": "release", "decision": "value", "reason": "approved", "times": 1}],
    "outputs": [
        {
            "entry": 1830,
            "at": _TIME,
            "actor": "ana",
            "action": "release",
            "subject": "ds-0123456789abcdef01234567@1",
            "reason": "approved",
            "request_id": "req-0123456789abcdef01234567",
            "plan_digest": _DIGEST,
            "result_digest": _DIGEST,
        }
    ],
    "outputs_total": 1,
}
