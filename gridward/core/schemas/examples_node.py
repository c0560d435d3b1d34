"""Examples of what a node's pages show as well; see ``examples``."""

from collections.abc import Mapping
from typing import Any, Final

from gridward.core.schemas.examples_accounts import ACCOUNT_EXAMPLES

_TIME: Final = "2026-02-03T10:15:00Z"
_UPLOAD: Final = "upl-0123456789abcdef01234567"
_VERSION: Final = {"version": 2, "rows": 6, "entities": None, "put_by": "bob", "put_at": _TIME}
_COLUMN: Final = {"name": "weight", "kind": "double", "dtype": "float64", "shape": [5], "missing": False}
_RECORD: Final = {
    "id": "trn-0123456789abcdef01234567",
    "started_by": "dana@grid",
    "dataset_id": "ds-0123456789abcdef01234567",
    "dataset_name": "mnist",
    "dataset_version": 1,
    "rows": 2000,
    "model_id": None,
    "plan_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "state": "done",
    "detail": "",
    "epochs": 1,
    "epochs_done": 1,
    "history": [{"epoch": 0, "steps": 63, "values": {"loss": 0.41}}],
    "validation": {"loss": 0.52, "accuracy": 0.84},
    "validation_rows": 200,
    "seconds": 3.2,
    "forgotten": True,
    "created_at": _TIME,
}
_STORAGE: Final = {
    "stored_bytes": 40_000_000,
    "limit_bytes": 274_877_906_944,
    "free_bytes": 90_000_000_000,
    "disk_bytes": 250_000_000_000,
}
_QUEUE: Final = {"name": "computations", "running": 1, "waiting": 0, "workers": 2, "places": 34}
_ROLE: Final = {"role": "party", "proposed": 0, "ready": 1}
_AUDIT: Final = {"head": ACCOUNT_EXAMPLES["AuditHead"], "kept": 1}

NODE_EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "ColumnFound": _COLUMN,
    "ContentIn": {"upload_id": _UPLOAD},
    "DatasetVersion": _VERSION,
    "DatasetVersionsOut": {"items": [_VERSION]},
    "AuditStateOut": _AUDIT,
    "NodeStatusOut": {
        "started_at": _TIME,
        "versions": {"gridward": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "sqlite": "3.40.1"},
        "storage": _STORAGE,
        "queues": [_QUEUE],
        "memberships": [],
        "roles": [_ROLE],
        "lane_port": None,
        "bundle_bytes": 0,
        "bundle_limit_bytes": 17_179_869_184,
        "audit": _AUDIT,
    },
    "QueueOut": _QUEUE,
    "HeldRolesOut": _ROLE,
    "StorageOut": _STORAGE,
    "TrainingRecord": _RECORD,
    "TrainingsOut": {"items": [_RECORD], "total": 1, "offset": 0, "limit": 50},
    "UploadContent": {"columns": [_COLUMN]},
}
