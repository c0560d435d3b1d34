"""Examples of roles, groups and rules; see ``examples``."""

from collections.abc import Mapping
from typing import Any, Final

_TIME: Final = "2026-02-03T10:15:00Z"
_ROLE: Final = {
    "name": "steward",
    "description": "Publishes and answers requests",
    "capabilities": ["decide_requests", "publish"],
    "built_in": False,
    "second_factor": False,
    "made_by": "bob",
    "made_at": _TIME,
}

ACCESS_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "RoleIn": {"name": "steward", "capabilities": ["decide_requests", "publish"]},
    "RoleOut": _ROLE,
    "RolePatch": {"capabilities": ["publish"]},
    "RolesOut": {"items": [_ROLE]},
}
