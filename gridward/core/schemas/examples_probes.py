"""Examples of what parties measure before a deployment; see ``examples``."""

from collections.abc import Mapping
from typing import Any, Final

from gridward.core.schemas.examples import EXAMPLES

_DOCUMENT: Final = EXAMPLES["DeploymentDocument"]
PROBE_EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "ProbeIn": {name: _DOCUMENT[name] for name in ("gateway_id", "host", "parties", "crypto_provider")},
    "ProbeOut": {"round_trip_s": 0.0002, "provider_bytes_per_s": 120_000_000.0},
}
