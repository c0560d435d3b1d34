"""What a node says of itself, and its membership of gateways."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

NODE_NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,31}$"
NODE_ID_PATTERN = r"^[a-z2-7]{26}$"
URL_PATTERN = r"^https?://[A-Za-z0-9_.:\[\]-]{1,255}(/[A-Za-z0-9_./-]{0,255})?$"
KEY_PATTERN = r"^[A-Za-z0-9_-]{43}$"


class NodeOut(BaseModel):
    """Public facts of a node."""

    id: str = Field(
        pattern=NODE_ID_PATTERN, description="Base32 of the SHA-256 of its signing key, 26 characters."
    )
    name: str = Field(pattern=NODE_NAME_PATTERN)
    version: str
    sign_key: str = Field(description="Ed25519 public key, base64url without padding.")
    seal_key: str = Field(description="X25519 public key, base64url without padding.")
    offers_party: bool = Field(description="Its owner lets it hold shares of others' models.")
    offers_provider: bool = Field(description="Its owner lets it deal correlations.")
    owned: bool = Field(description="False until the owner has used the one-time token.")


class MembershipState(StrEnum):
    """Where joining a gateway stands."""

    PENDING = "pending"
    JOINED = "joined"
    REFUSED = "refused"


class MembershipIn(BaseModel):
    """Ask a gateway to take this node in."""

    model_config = ConfigDict(extra="forbid")

    gateway_url: str = Field(pattern=URL_PATTERN)


class MembershipOut(BaseModel):
    """Where a membership of one gateway stands."""

    gateway_id: str
    gateway_name: str
    gateway_url: str
    state: MembershipState
    last_heartbeat_at: datetime | None
    detail: str = Field(default="", description="Why the last heartbeat failed, if it did.")


class MembershipsOut(BaseModel):
    """All memberships of this node."""

    items: list[MembershipOut]
