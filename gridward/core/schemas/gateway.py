"""The directory: nodes, their catalogues, search, identity tokens, matchmaking."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.access import Entries
from gridward.core.schemas.audit import AuditHead
from gridward.core.schemas.datasets import Tag
from gridward.core.schemas.node import KEY_PATTERN, NODE_ID_PATTERN, NODE_NAME_PATTERN, URL_PATTERN
from gridward.core.schemas.tensor import TensorInfo


class GatewayOut(BaseModel):
    """Public facts of a gateway."""

    id: str = Field(pattern=NODE_ID_PATTERN, description="Derived from its signing key, as for a node.")
    name: str = Field(pattern=NODE_NAME_PATTERN)
    version: str
    sign_key: str = Field(description="Ed25519 public key, base64url without padding.")
    owned: bool


class TokenIn(BaseModel):
    """Ask for an identity token for one node."""

    model_config = ConfigDict(extra="forbid")

    audience: str = Field(pattern=NODE_ID_PATTERN, description="The node that shall accept it.")


class TokenOut(BaseModel):
    """A short-lived EdDSA JWT that says who one is, and nothing of rights."""

    token: str
    expires_in_s: int = Field(json_schema_extra={"format": "int32"})


class NodeState(StrEnum):
    """A node as the gateway sees it."""

    PENDING = "pending"
    LIVE = "live"
    AWAY = "away"
    REFUSED = "refused"


class JoinIn(BaseModel):
    """A node asks to join; signed by its key."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NODE_NAME_PATTERN)
    url: str = Field(pattern=URL_PATTERN)
    sign_key: str = Field(pattern=KEY_PATTERN)
    seal_key: str = Field(pattern=KEY_PATTERN)
    offers_party: bool
    offers_provider: bool


class JoinOut(BaseModel):
    """Where joining stands, and the gateway's identity to pin."""

    state: NodeState
    gateway: GatewayOut


class ApprovalIn(BaseModel):
    """The gateway owner's word on a pending node."""

    model_config = ConfigDict(extra="forbid")

    approved: bool = True
    owner: str = Field(
        min_length=1, max_length=100, description="Who owns the node; one owner never fills two roles."
    )
    takes_over: bool = Field(
        default=False, description="The name was another node's that left: this one takes its place."
    )


class HeartbeatIn(BaseModel):
    """A node is alive; says anew what may have changed."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(pattern=URL_PATTERN)
    offers_party: bool
    offers_provider: bool
    catalogue_digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of its current catalogue.")
    audit: AuditHead | None = Field(default=None, description="The node's word on its audit log.")


class HeartbeatOut(BaseModel):
    """The gateway's answer."""

    state: NodeState
    next_s: float = Field(
        description="Send the next heartbeat in so many seconds.", json_schema_extra={"format": "double"}
    )
    catalogue_wanted: bool = Field(description="The gateway's copy of the catalogue is stale.")
    attestation: str | None = Field(description="EdDSA JWT: id, name, url, owner and keys of the node.")
    witnessed: AuditHead | None = Field(
        default=None, description="The longest audit log that this node had signed for before."
    )


class WitnessedOut(BaseModel):
    """What a node signed of its audit log: the last head of each hour, and all that it contradicted later."""

    items: list[AuditHead]


class CatalogueEntry(BaseModel):
    """One dataset or model that its owner made discoverable."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["dataset", "model"]
    id: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1, max_length=64)
    description: str = Field(default="", max_length=4000)
    tags: list[Tag] = Field(default=[], max_length=64)
    rows: int | None = Field(default=None, ge=0, le=2**48, json_schema_extra={"format": "int64"})
    tensors: list[TensorInfo] = Field(default=[], max_length=4096)
    discover: Entries


class CatalogueIn(BaseModel):
    """Everything of a node that may be found; replaces the former one."""

    model_config = ConfigDict(extra="forbid")

    entries: list[CatalogueEntry] = Field(max_length=10_000)


class DirectoryNode(BaseModel):
    """A node in the directory."""

    id: str
    name: str
    url: str
    owner: str
    state: NodeState
    sign_key: str
    seal_key: str
    offers_party: bool
    offers_provider: bool
    last_seen_at: datetime | None
    attestation: str | None


class DirectoryOut(BaseModel):
    """A page of nodes."""

    items: list[DirectoryNode]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})


class Hit(BaseModel):
    """A found dataset or model and the node to talk to."""

    kind: Literal["dataset", "model"]
    id: str
    name: str
    description: str
    tags: list[str]
    rows: int | None = Field(json_schema_extra={"format": "int64"})
    tensors: list[TensorInfo]
    node_id: str
    node_name: str
    node_url: str


class SearchOut(BaseModel):
    """A page of hits."""

    items: list[Hit]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})


class ModelLocation(BaseModel):
    """Which node hosts a model."""

    model_id: str
    node: DirectoryNode


class MatchIn(BaseModel):
    """Ask for parties and a crypto provider under distinct owners."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field(
        pattern=NODE_ID_PATTERN, description="The node that hosts the model; its owner takes no other role."
    )
    parties: int = Field(default=2, ge=2, le=5, json_schema_extra={"format": "int32"})


class MatchOut(BaseModel):
    """Live nodes that offer the roles, no owner twice."""

    parties: list[DirectoryNode]
    crypto_provider: DirectoryNode
