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
SECURE_SUM_EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "ContributionIn": {
        "document": _DOCUMENT,
        "plan": EXAMPLES["ComputationIn"]["plan"],
        "sources": EXAMPLES["ComputationIn"]["sources"],
    },
    "ContributionOut": {"shares": [_SHARE, _SHARE]},
    "OpeningIn": {"document": _DOCUMENT, "shares": [_SHARE, _SHARE]},
}
