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
_GROUP: Final = {
    "name": "ward",
    "description": "Doctors of the pediatric ward",
    "size": 2,
    "members": ["ana", "dana@grid"],
    "rules": 1,
    "made_by": "bob",
    "made_at": _TIME,
}
_RULE: Final = {
    "id": "rul-0123456789abcdef01234567",
    "verb": "raw",
    "who": "group:ward",
    "until": _TIME,
    "times": 3,
    "plan": None,
    "min_rows": None,
    "min_entities": None,
    "used": 1,
    "made_by": "bob",
    "made_at": _TIME,
}

ACCESS_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "AccessPreview": {
        "who": "ana",
        "role": "data_scientist",
        "capabilities": ["compute", "infer", "send", "train"],
        "locked_out": False,
        "sees": None,
        "in_gateways": False,
        "verbs": [{"verb": "raw", "rules": [_RULE]}],
        "decision": {
            "answer": "value",
            "reason": "raw_access",
            "detail": "you may have the real values",
            "rules": [_RULE["id"]],
            "data_decides": False,
            "question": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "standing": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        },
    },
    "GroupIn": {"name": "ward", "members": ["ana", "dana@grid"]},
    "GroupOut": _GROUP,
    "GroupPatch": {"add": ["eve"], "remove": ["ana"]},
    "GroupsOut": {"items": [_GROUP]},
    "PreviewIn": {"who": "ana"},
    "RoleIn": {"name": "steward", "capabilities": ["decide_requests", "publish"]},
    "RoleOut": _ROLE,
    "RolePatch": {"capabilities": ["publish"]},
    "RolesOut": {"items": [_ROLE]},
    "RuleIn": {"verb": "raw", "who": "group:ward", "until": _TIME, "times": 3},
    "RuleOut": _RULE,
    "RulesOut": {"items": [_RULE]},
}
