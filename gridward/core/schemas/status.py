"""How a node is doing, for those who manage it."""

from datetime import datetime

from pydantic import BaseModel, Field

from gridward.core.schemas.audit import AuditHead
from gridward.core.schemas.node import MembershipOut


class StorageOut(BaseModel):
    """Bytes that are stored, and that there are."""

    stored_bytes: int = Field(
        description="Open uploads and blobs of everyone.", json_schema_extra={"format": "int64"}
    )
    limit_bytes: int = Field(
        description="What may be stored: the setting `upload_total_bytes`.",
        json_schema_extra={"format": "int64"},
    )
    free_bytes: int = Field(
        description="Free on the disk of the data folder.", json_schema_extra={"format": "int64"}
    )
    disk_bytes: int = Field(description="Size of that disk.", json_schema_extra={"format": "int64"})


class QueueOut(BaseModel):
    """Work of one kind: what runs, what waits for its turn, and how much of both there may be."""

    name: str
    running: int = Field(json_schema_extra={"format": "int32"})
    waiting: int = Field(json_schema_extra={"format": "int32"})
    workers: int = Field(json_schema_extra={"format": "int32"})
    places: int = Field(description="Workers, and those who may wait.", json_schema_extra={"format": "int32"})


class HeldRolesOut(BaseModel):
    """Encrypted models in which the node has a role."""

    role: str = Field(description="host, party or provider.")
    proposed: int = Field(json_schema_extra={"format": "int32"})
    ready: int = Field(json_schema_extra={"format": "int32"})


class AuditStateOut(BaseModel):
    """What the audit log ends with, and what was signed of it."""

    head: AuditHead
    kept: int = Field(
        description="Signed heads in the data folder. More than one: the log lost what was signed for.",
        json_schema_extra={"format": "int32"},
    )


class NodeStatusOut(BaseModel):
    """How the node is doing now."""

    started_at: datetime
    versions: dict[str, str] = Field(description="Of Gridward, Python, torch and the database.")
    storage: StorageOut
    queues: list[QueueOut]
    memberships: list[MembershipOut] = Field(
        description="Gateways; each heartbeat gives them a signed head of the audit log to keep."
    )
    roles: list[HeldRolesOut]
    lane_port: int | None = Field(
        description="Where it takes direct connections of other parties.",
        json_schema_extra={"format": "int32"},
    )
    bundle_bytes: int = Field(
        description="Bundles that it keeps as a provider.", json_schema_extra={"format": "int64"}
    )
    bundle_limit_bytes: int = Field(json_schema_extra={"format": "int64"})
    audit: AuditStateOut
