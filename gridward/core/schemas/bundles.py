"""Bundles between crypto provider and parties, and what their owners see of them."""

from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

BUNDLES_AT_ONCE: Final = 64
Batch: TypeAlias = Annotated[int, Field(ge=1, le=1024, json_schema_extra={"format": "int32"})]
Serial: TypeAlias = Annotated[int, Field(ge=0, lt=2**53, json_schema_extra={"format": "int64"})]


class BundlesIn(BaseModel):
    """A party asks the provider for its packets of bundles with consecutive numbers."""

    model_config = ConfigDict(extra="forbid")

    batch: Batch
    serial: Serial
    count: int = Field(
        default=1, ge=1, le=BUNDLES_AT_ONCE, description="How many.", json_schema_extra={"format": "int32"}
    )
    piece: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="The first piece that is wanted of the first packet; those before it arrived.",
        json_schema_extra={"format": "int64"},
    )


class BundlesHad(BaseModel):
    """A party has these packets on its disk: the provider wipes its copies."""

    model_config = ConfigDict(extra="forbid")

    batch: Batch
    serials: list[Serial] = Field(min_length=1, max_length=BUNDLES_AT_ONCE)


class PartyAccount(BaseModel):
    """What one party of a deployment has had of this provider."""

    party: str
    bundles: int = Field(json_schema_extra={"format": "int64"})
    packet_bytes: int = Field(json_schema_extra={"format": "int64"})


class ShelfOut(BaseModel):
    """What waits of one batch size at the provider."""

    batch: int = Field(json_schema_extra={"format": "int32"})
    ahead: int = Field(
        description="Bundles that no party asked for yet.", json_schema_extra={"format": "int64"}
    )
    asked: int = Field(
        description="Bundles that some party did not confirm yet.", json_schema_extra={"format": "int64"}
    )
    waiting_bytes: int = Field(json_schema_extra={"format": "int64"})


class DealtOut(BaseModel):
    """A deployment for which this node deals: who had how much, and what is on the shelf."""

    deployment_id: str
    model_id: str
    host: str
    parties: list[PartyAccount]
    shelf: list[ShelfOut]


class StockOut(BaseModel):
    """A party's packets of one batch size: those that are left, and those that were spent."""

    batch: int = Field(json_schema_extra={"format": "int32"})
    left: int = Field(json_schema_extra={"format": "int64"})
    left_bytes: int = Field(json_schema_extra={"format": "int64"})
    spent: int = Field(json_schema_extra={"format": "int64"})
    spent_bytes: int = Field(json_schema_extra={"format": "int64"})


class HeldOut(BaseModel):
    """A deployment of which this node is a party: its stock of bundles."""

    deployment_id: str
    model_id: str
    host: str
    crypto_provider: str
    stock: list[StockOut]


class PartyStock(BaseModel):
    """What a party says of its stock for one deployment."""

    stock: list[StockOut]


class PartyLeft(BaseModel):
    """A party of an encrypted model, and what is left with it; null if it does not answer."""

    party: str
    owner: str
    stock: list[StockOut] | None


class ModelStockOut(BaseModel):
    """Bundles left at each party of an encrypted model; a query takes one of every party."""

    deployment_id: str
    parties: list[PartyLeft]

    def ready(self) -> dict[int, int]:
        """Queries that every party has a bundle for, by batch size; a silent party has none."""
        known = [{one.batch: one.left for one in party.stock or ()} for party in self.parties]
        batches = sorted({batch for one in known for batch in one})
        return {batch: min(one.get(batch, 0) for one in known) for batch in batches}


class BundlesOut(BaseModel):
    """Every bundle that this node deals or holds, for its owner."""

    dealt: list[DealtOut]
    held: list[HeldOut]
