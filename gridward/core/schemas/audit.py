"""The audit log as those who may read it see it, and its signed head."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from gridward.core.schemas.node import KEY_PATTERN, NODE_ID_PATTERN


def in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC; raises ``ValueError`` where there is none."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as why:
        raise ValueError("no such moment in UTC") from why


DIGEST_PATTERN = r"^[0-9a-f]{64}$"


class AuditEntryOut(BaseModel):
    """One act or decision. Its digest covers the entry and the digest before it."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(description="Counts from 1 without gaps.", json_schema_extra={"format": "int64"})
    at: datetime
    actor: str = Field(description="Who; empty for the server itself, and for another server.")
    session_id: str
    action: str
    subject: str = Field(description="What was acted upon.")
    decision: str
    reason: str
    plan_digest: str | None = Field(description="SHA-256 of the plan that was decided on.")
    request_id: str | None = Field(default=None, description="The request that it is on, or rests on.")
    result_digest: str | None = Field(
        default=None, description="Keyed digest of what left; whoever got it was told the same."
    )
    digest: str = Field(pattern=DIGEST_PATTERN)


class AuditOut(BaseModel):
    """Entries, newest first."""

    items: list[AuditEntryOut]
    earlier: int | None = Field(
        description="Ask again with `before` set to this for what comes next; null at the end.",
        json_schema_extra={"format": "int64"},
    )


class AuditHead(BaseModel):
    """The server's signed word on its log. Kept elsewhere, it shows a log that was cut or made anew."""

    model_config = ConfigDict(extra="forbid")

    server: str = Field(pattern=NODE_ID_PATTERN)
    sign_key: str = Field(pattern=KEY_PATTERN, description="Ed25519 public key from which the id comes.")
    count: int = Field(
        ge=0, le=2**53 - 1, description="Entries in the log.", json_schema_extra={"format": "int64"}
    )
    digest: str = Field(pattern=DIGEST_PATTERN, description="The last entry's; zeros for an empty log.")
    at: Annotated[AwareDatetime, AfterValidator(in_utc)]
    signature: str = Field(pattern=r"^[0-9a-f]{128}$", description="Ed25519 by that key, hex.")


class AuditVerdictOut(BaseModel):
    """What a check of the whole log found."""

    count: int = Field(description="Entries that were checked.", json_schema_extra={"format": "int64"})
    flaws: list[str] = Field(description="What is wrong, a sentence each; empty where all is well.")
    heads: int = Field(
        description="Signed heads that the log was compared with.", json_schema_extra={"format": "int32"}
    )
