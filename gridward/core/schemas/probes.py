"""What parties measure before a deployment, so that its program fits the network between them."""

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.deployments import RoleHolder
from gridward.core.schemas.examples_probes import PROBE_EXAMPLES
from gridward.core.schemas.node import NODE_ID_PATTERN


class ProbeIn(BaseModel):
    """Measure the way to the other parties and to the crypto provider. Signed by the host."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [PROBE_EXAMPLES["ProbeIn"]]})

    gateway_id: str = Field(pattern=NODE_ID_PATTERN, description="Whose attestations the holders bring.")
    host: RoleHolder
    parties: list[RoleHolder] = Field(min_length=2, max_length=5)
    crypto_provider: RoleHolder


class ProbeOut(BaseModel):
    """What one party measured."""

    model_config = ConfigDict(json_schema_extra={"examples": [PROBE_EXAMPLES["ProbeOut"]]})

    round_trip_s: float = Field(
        ge=0,
        description="Seconds to open a TCP connection to the farthest other party, the least of several.",
        json_schema_extra={"format": "double"},
    )
    provider_bytes_per_s: float = Field(
        gt=0,
        description="Bytes a second that came from the crypto provider.",
        json_schema_extra={"format": "double"},
    )
