"""Secure sums: who contributes, who adds up, and the messages between them.

Shares travel sealed to their aggregator and signed by their contributor; sums of shares sealed to the asker.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.errors import DeploymentRefusedError, InvalidInputError
from gridward.core.schemas.computations import Source
from gridward.core.schemas.deployments import RoleHolder, SealedOut
from gridward.core.schemas.examples_secure_sums import SECURE_SUM_EXAMPLES
from gridward.core.schemas.node import KEY_PATTERN, NODE_ID_PATTERN
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import Extent

MOST_WORDS: Final = 1 << 16
MOST_AGGREGATORS: Final = 8


class SumOutput(BaseModel):
    """One output of every contributor's plan, and of the total."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=128)
    dtype: Literal["float64", "int64"]
    shape: list[Extent] = Field(max_length=8)


class SumDocument(BaseModel):
    """What asker, contributors and aggregators of one secure sum agree on; its digest stands for it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{32}$", description="Chosen by the asker; good for one sum.")
    gateway_id: str = Field(pattern=NODE_ID_PATTERN, description="Whose attestations decide on owners.")
    asker_key: str = Field(pattern=KEY_PATTERN, description="The asker's one-time X25519 public key.")
    fraction_bits: int = Field(ge=8, le=32, json_schema_extra={"format": "int32"})
    outputs: list[SumOutput] = Field(min_length=1, max_length=16)
    contributors: list[RoleHolder] = Field(min_length=2, max_length=64)
    aggregators: list[RoleHolder] = Field(min_length=2, max_length=MOST_AGGREGATORS)

    def roles(self) -> Iterator[tuple[str, RoleHolder]]:
        """Give every role with its holder; a node may both contribute and add up."""
        for holder in self.contributors:
            yield "contributor", holder
        for holder in self.aggregators:
            yield "aggregator", holder

    def words(self) -> int:
        """Count the numbers of one contribution; raises ``InvalidInputError`` if there are too many."""
        count = sum(prod(output.shape) for output in self.outputs)
        if not 1 <= count <= MOST_WORDS:
            raise InvalidInputError(f"a secure sum holds 1 to {MOST_WORDS} numbers, not {count}")
        return count

    def require_fair(self) -> None:
        """Raise ``DeploymentRefusedError`` where a sum would protect nobody; see ``require_fair``."""
        require_fair(self.contributors, self.aggregators)

    def digest(self) -> str:
        """SHA-256 of the whole document, in hex."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def require_fair(contributors: Sequence[RoleHolder], aggregators: Sequence[RoleHolder]) -> None:
    """Raise ``DeploymentRefusedError`` where a sum would protect nobody.

    Contributors: distinct nodes, at least two owners. Aggregators: distinct nodes, no owner twice.
    """
    for role, holders in (("contributor", contributors), ("aggregator", aggregators)):
        nodes = Counter(holder.node_id for holder in holders)
        twice = next((holder.name for holder in holders if nodes[holder.node_id] > 1), None)
        if twice is not None:
            raise DeploymentRefusedError(f"{twice} is named twice as {role} of one secure sum")
    if len({holder.owner.casefold() for holder in contributors}) < 2:
        raise DeploymentRefusedError(
            f"all contributors belong to {contributors[0].owner}; a sum needs two owners"
        )
    owners = Counter(holder.owner.casefold() for holder in aggregators)
    for holder in aggregators:
        if owners[holder.owner.casefold()] > 1:
            raise DeploymentRefusedError(
                f"{holder.owner} owns two aggregators and could open every contribution; "
                "choose aggregators of different owners"
            )


class ContributionIn(BaseModel):
    """Ask a node to compute a plan over its rows and hand the outputs to the aggregators as shares."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [SECURE_SUM_EXAMPLES["ContributionIn"]]}
    )

    document: SumDocument
    plan: PlanDocument
    sources: list[Source] = Field(default=[], max_length=256)


class SumShare(SealedOut):
    """One contributor's share for one aggregator: sealed to it, and signed."""

    token: str = Field(
        max_length=4096, description="EdDSA JWT of the contributor over the share and the document."
    )


class ContributionOut(BaseModel):
    """A contributor's shares, in the order of the aggregators."""

    model_config = ConfigDict(json_schema_extra={"examples": [SECURE_SUM_EXAMPLES["ContributionOut"]]})

    shares: list[SumShare]


class OpeningIn(BaseModel):
    """Ask an aggregator for the sum of its shares: one of each contributor, in the document's order."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [SECURE_SUM_EXAMPLES["OpeningIn"]]}
    )

    document: SumDocument
    shares: list[SumShare] = Field(max_length=64)
