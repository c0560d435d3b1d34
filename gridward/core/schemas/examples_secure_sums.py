"""Examples of the messages of secure sums; see ``examples``."""

from collections.abc import Mapping
from typing import Any, Final

from gridward.core.schemas.examples import EXAMPLES

_HOLDERS: Final = EXAMPLES["DeploymentDocument"]["parties"]
_SHARE: Final = {"sealed": "c2VhbGVk", "token": _HOLDERS[0]["attestation"]}
_DOCUMENT: Final = {
    "id": "0123456789abcdef0123456789abcdef",
    "gateway_id": EXAMPLES["DeploymentDocument"]["gateway_id"],
    "asker_key": _HOLDERS[0]["seal_key"],
    "fraction_bits": 24,
    "outputs": [{"name": "output", "dtype": "float64", "shape": []}],
    "contributors": _HOLDERS,
    "aggregators": _HOLDERS,
}
_ROUND: Final = {
    "id": "0123456789abcdef0123456789abcdef",
    "run": "fedcba9876543210fedcba9876543210",
    "round": 0,
    "gateway_id": _DOCUMENT["gateway_id"],
    "asker_key": _DOCUMENT["asker_key"],
    "lesson": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "parameters": [{"name": "weight", "dtype": "float32", "shape": [10, 784]}],
    "clip": 100.0,
    "most_rows": 5000,
    "fraction_bits": 10,
    "quorum": 2,
    "contributors": _HOLDERS,
    "aggregators": _HOLDERS,
}
SECURE_SUM_EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "ContributionIn": {
        "document": _DOCUMENT,
        "plan": EXAMPLES["ComputationIn"]["plan"],
        "sources": EXAMPLES["ComputationIn"]["sources"],
    },
    "ContributionOut": {"shares": [_SHARE, _SHARE]},
    "OpeningIn": {"document": _DOCUMENT, "shares": [_SHARE, _SHARE]},
    "UpdateContributionIn": {"document": _ROUND, "training_id": "trn_0123456789abcdef", "piece": 0},
    "UpdateOpeningIn": {
        "document": _ROUND,
        "piece": 0,
        "contributors": [holder["node_id"] for holder in _HOLDERS],
        "shares": [_SHARE, _SHARE],
    },
}
