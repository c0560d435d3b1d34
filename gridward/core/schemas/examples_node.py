"""Examples of what a node's pages show as well; see ``examples``."""

from collections.abc import Mapping
from typing import Any, Final

_TIME: Final = "2026-02-03T10:15:00Z"
_UPLOAD: Final = "upl-0123456789abcdef01234567"
_VERSION: Final = {"version": 2, "rows": 6, "put_by": "bob", "put_at": _TIME}
_COLUMN: Final = {"name": "weight", "kind": "double", "dtype": "float64", "shape": [5], "missing": False}

NODE_EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "ColumnFound": _COLUMN,
    "ContentIn": {"upload_id": _UPLOAD},
    "DatasetVersion": _VERSION,
    "DatasetVersionsOut": {"items": [_VERSION]},
    "UploadContent": {"columns": [_COLUMN]},
}
