"""Encrypted models: who holds which role, what it costs, and the messages of set-up and query.

Secrets (parameter shares, correlations, input subkeys, output shares) travel sealed to the recipient's public
key, as opaque base64, also where the link is TLS.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

import pybase64
from pydantic import BaseModel, ConfigDict, Field

from gridward.core.errors import DeploymentRefusedError, InvalidInputError
from gridward.core.schemas.models import ModelId
from gridward.core.schemas.node import KEY_PATTERN, NODE_ID_PATTERN, NODE_NAME_PATTERN, URL_PATTERN
from gridward.core.schemas.plan import PlanDocument

DeploymentId: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9]{16,32}$")]
Base64: TypeAlias = Annotated[str, Field(description="Base64 (RFC 4648).")]


class RoleHolder(BaseModel):
    """A node in a role, with the gateway's word for who owns it."""

    model_config = ConfigDict(extra="forbid")

    node_id: str = Field(pattern=NODE_ID_PATTERN)
    name: str = Field(pattern=NODE_NAME_PATTERN)
    url: str = Field(pattern=URL_PATTERN)
    owner: str = Field(min_length=1, max_length=100)
    sign_key: str = Field(pattern=KEY_PATTERN)
    seal_key: str = Field(pattern=KEY_PATTERN)
    attestation: str = Field(
        max_length=4096, description="EdDSA JWT by which the gateway vouches for the above."
    )


class LineWidth(BaseModel):
    """What one line of the plan makes is compared in so few bits."""

    model_config = ConfigDict(extra="forbid")

    line: str = Field(min_length=1, max_length=200, description="As in `step 3 aten.relu.default`.")
    bits: int = Field(ge=2, le=48, json_schema_extra={"format": "int32"})
    proved: bool = Field(
        description="For every input within the declared range; else seen of the owner's samples, with a "
        "margin."
    )


InputRange: TypeAlias = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]],
    Field(description="The least and the largest value of a query."),
]
Widths: TypeAlias = Annotated[
    list[LineWidth],
    Field(max_length=10_000, description="Lines that are compared in fewer bits than `width`."),
]
Guard: TypeAlias = Annotated[
    bool, Field(description="Whether the client is told of values that leave the bits they are compared in.")
]
Maxima: TypeAlias = Annotated[
    Literal["fitting", "tree", "pairs"],
    Field(description="How the largest of several is found; `fitting`: as the shapes say."),
]


class DeploymentIn(BaseModel):
    """Deploy a hosted plan encrypted. Nodes by name; the gateway chooses those not named."""

    model_config = ConfigDict(extra="forbid")

    model_id: ModelId
    parties: list[Annotated[str, Field(pattern=NODE_NAME_PATTERN)]] = Field(
        default=[], max_length=5, description="2 to 5 node names in party order; empty: the gateway chooses."
    )
    party_count: int = Field(default=2, ge=2, le=5, json_schema_extra={"format": "int32"})
    crypto_provider: str | None = Field(default=None, pattern=NODE_NAME_PATTERN)
    fraction_bits: int = Field(default=16, ge=8, le=24, json_schema_extra={"format": "int32"})
    width: int = Field(default=32, ge=16, le=48, json_schema_extra={"format": "int32"})
    levels: int | None = Field(
        default=None,
        ge=1,
        le=2,
        description="Levels of a comparison; null: chosen by what the parties measure of the network.",
        json_schema_extra={"format": "int32"},
    )
    input_range: InputRange | None = None
    widths: Widths = []
    guard: Guard = False
    maxima: Maxima = "fitting"


class DeploymentDocument(BaseModel):
    """What all roles agree on; immutable, named by its id."""

    model_config = ConfigDict(extra="forbid")

    id: DeploymentId
    model_id: ModelId
    plan: PlanDocument
    fraction_bits: int = Field(ge=8, le=24, json_schema_extra={"format": "int32"})
    width: int = Field(ge=16, le=48, json_schema_extra={"format": "int32"})
    levels: int = Field(ge=1, le=2, json_schema_extra={"format": "int32"})
    input_range: InputRange | None = None
    widths: Widths = []
    guard: Guard = False
    maxima: Maxima = "fitting"
    gateway_id: str = Field(
        pattern=NODE_ID_PATTERN, description="Whose attestations decide on distinct owners."
    )
    host: RoleHolder
    parties: list[RoleHolder] = Field(min_length=2, max_length=5)
    crypto_provider: RoleHolder
    program_digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the program at batch 1.")

    def roles(self) -> Iterator[tuple[str, RoleHolder]]:
        """Give every role with its holder."""
        yield "host", self.host
        for position, holder in enumerate(self.parties):
            yield f"party {position}", holder
        yield "crypto provider", self.crypto_provider

    def require_distinct_holders(self) -> None:
        """Raise ``DeploymentRefusedError`` where a node or an owner has two roles."""
        owners: dict[str, str] = {}
        nodes: dict[str, str] = {}
        for role, holder in self.roles():
            if (other := nodes.setdefault(holder.node_id, role)) != role:
                raise DeploymentRefusedError(
                    f"{holder.name} cannot be both {other} and {role}; choose another node"
                )
            if (other := owners.setdefault(holder.owner.casefold(), role)) != role:
                raise DeploymentRefusedError(
                    f"{other} and {role} both belong to {holder.owner}; no owner may fill two roles, "
                    "choose another node"
                )


class Acceptance(BaseModel):
    """A node takes its role; the digest of the program that it compiled itself."""

    program_digest: str


class DeploymentState(StrEnum):
    """Where a deployment stands."""

    PROPOSED = "proposed"
    READY = "ready"
    CLOSED = "closed"


class Costs(BaseModel):
    """What one query at batch 1 costs, known before anyone pays."""

    rounds: int = Field(json_schema_extra={"format": "int32"})
    online_bytes_per_party: int = Field(json_schema_extra={"format": "int64"})
    dealer_bytes: int = Field(json_schema_extra={"format": "int64"})
    setup_bytes: int = Field(json_schema_extra={"format": "int64"})
    ring_macs: int = Field(json_schema_extra={"format": "int64"})
    memory_bytes: int = Field(
        description="What one party's arrays take at most while it runs, its share of the model included.",
        json_schema_extra={"format": "int64"},
    )


class LaneOut(BaseModel):
    """Where a party takes direct TLS connections of the others."""

    port: int | None = Field(
        ge=1,
        le=65_535,
        description="TCP port; null: it offers none, a WebSocket serves.",
        json_schema_extra={"format": "int32"},
    )


class ActivationOut(BaseModel):
    """A party is ready."""

    lanes: dict[int, str] = Field(
        description="How it reached the parties that it dials: `tls` or `websocket`, by their positions."
    )


class LaneBetween(BaseModel):
    """How two parties were connected when the deployment was activated."""

    parties: tuple[int, int]
    kind: str = Field(description="`tls`, a direct socket, or `websocket`, on the node's one port.")


class PartyGrant(BaseModel):
    """The host's leave to do one thing at one party, as a signed token."""

    party: int = Field(json_schema_extra={"format": "int32"})
    node_id: str
    url: str
    seal_key: str
    token: str = Field(description="Bearer token for that party; EdDSA, signed by the host.")


class DeploymentOut(BaseModel):
    """A deployment as its model's users see it."""

    document: DeploymentDocument
    state: DeploymentState
    costs: Costs
    measured_error: float | None = Field(
        description="Largest difference between fixed point and float on the model owner's example input.",
        json_schema_extra={"format": "double"},
    )
    lanes: list[LaneBetween] = Field(description="One for each pair of parties; empty before activation.")
    parameter_grants: list[PartyGrant] = Field(
        description="For the model's owner while it is `proposed`; else empty."
    )
    created_at: datetime


class ActivationIn(BaseModel):
    """All parameter shares are delivered: make the deployment ready."""

    model_config = ConfigDict(extra="forbid")

    measured_error: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Measured by the model's owner, who has the model in the clear.",
        json_schema_extra={"format": "double"},
    )


class QueryIn(BaseModel):
    """Ask for an encrypted inference. Says the batch and the key that answers are sealed to; no input."""

    model_config = ConfigDict(extra="forbid")

    batch: int = Field(default=1, ge=1, le=1024, json_schema_extra={"format": "int32"})
    seal_key: str = Field(pattern=KEY_PATTERN, description="The client's one-time X25519 public key.")


class QueryOut(BaseModel):
    """Leave to run one query at every party."""

    id: str
    batch: int = Field(json_schema_extra={"format": "int32"})
    serial: int = Field(json_schema_extra={"format": "int64"})
    deployment_id: str = Field(description="A change means that the model was deployed anew.")
    grants: list[PartyGrant]


class SealedOut(BaseModel):
    """Bytes for one recipient's eyes."""

    sealed: Base64

    @staticmethod
    def of(sealed: bytes | bytearray | memoryview) -> "SealedOut":
        """Encode sealed bytes."""
        return SealedOut(sealed=pybase64.b64encode(sealed).decode())

    def raw(self) -> bytes:
        """Decode the sealed bytes; raises ``InvalidInputError``."""
        return _decoded(self.sealed)


class QueryAnswer(BaseModel):
    """One party's sealed output share, and what the joint computation took."""

    sealed: Base64
    rounds: int = Field(json_schema_extra={"format": "int32"})
    sent_bytes: int = Field(json_schema_extra={"format": "int64"})
    seconds: float = Field(json_schema_extra={"format": "double"})

    def raw(self) -> bytes:
        """Decode the sealed bytes; raises ``InvalidInputError``."""
        return _decoded(self.sealed)


def _decoded(text: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError as why:
        raise InvalidInputError("sealed bytes travel as base64") from why
