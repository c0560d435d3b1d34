"""Secure aggregation: who contributes an update to a round's sum, who adds up, and the messages between them.

Shares travel sealed to their aggregator and signed by their contributor; sums of shares sealed to the asker.
"""

import hashlib
import json
from collections.abc import Iterator
from math import prod
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.errors import DeploymentRefusedError, InvalidInputError
from gridward.core.schemas.deployments import RoleHolder
from gridward.core.schemas.examples_secure_sums import SECURE_SUM_EXAMPLES
from gridward.core.schemas.node import KEY_PATTERN, NODE_ID_PATTERN
from gridward.core.schemas.secure_sums import MOST_AGGREGATORS, SumShare, require_fair
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import TrainingIn

DIGEST_PATTERN: Final = r"^[0-9a-f]{64}$"
MOST_CONTRIBUTORS: Final = 64
MOST_CLIP: Final = 1e12
LEAST_CLIP: Final = 1e-12
MOST_FRACTION_BITS: Final = 64
_COUNTS: Final = 3
_LESSON: Final = {"plan", "hyper", "epochs", "batch_size", "seed"}
_OPENING_WORDS: Final = 1 << 24
_MOST_WORDS: Final = 1 << 32


class AggregationDocument(BaseModel):
    """What asker, contributors and aggregators of one round's sum agree on; its digest stands for it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{32}$", description="Chosen by the asker; good for one sum.")
    run: str = Field(pattern=r"^[0-9a-f]{32}$", description="The training that the round belongs to.")
    round: int = Field(ge=0, lt=2**31, json_schema_extra={"format": "int32"})
    gateway_id: str = Field(pattern=NODE_ID_PATTERN, description="Whose attestations decide on owners.")
    asker_key: str = Field(pattern=KEY_PATTERN, description="The asker's one-time X25519 public key.")
    lesson: str = Field(
        pattern=DIGEST_PATTERN,
        description="SHA-256 of what all contributors train alike: plan, parameters, numbers and schedule.",
    )
    parameters: list[TensorInfo] = Field(
        min_length=1, max_length=4096, description="Tensors in the sum: real ones first."
    )
    clip: float = Field(
        gt=0,
        le=MOST_CLIP,
        json_schema_extra={"format": "double"},
        description="Largest L2 norm of an update; a larger one is scaled down to it.",
    )
    most_rows: int = Field(
        ge=1, lt=2**48, json_schema_extra={"format": "int64"}, description="Largest weight of a contributor."
    )
    fraction_bits: int = Field(
        ge=-MOST_FRACTION_BITS, le=MOST_FRACTION_BITS, json_schema_extra={"format": "int32"}
    )
    quorum: int = Field(
        ge=2,
        le=MOST_CONTRIBUTORS,
        json_schema_extra={"format": "int32"},
        description="Fewest contributors whose sum is opened.",
    )
    contributors: list[RoleHolder] = Field(min_length=2, max_length=MOST_CONTRIBUTORS)
    aggregators: list[RoleHolder] = Field(min_length=2, max_length=MOST_AGGREGATORS)

    def roles(self) -> Iterator[tuple[str, RoleHolder]]:
        """Give every role with its holder; a node may both contribute and add up."""
        for holder in self.contributors:
            yield "contributor", holder
        for holder in self.aggregators:
            yield "aggregator", holder

    def require_fair(self) -> None:
        """Raise ``DeploymentRefusedError`` where the sum would protect nobody."""
        require_fair(self.contributors, self.aggregators)
        if self.quorum > len(self.contributors):
            raise DeploymentRefusedError(
                f"a quorum of {self.quorum} is more than the {len(self.contributors)} contributors"
            )

    def words(self) -> int:
        """Count the words of one contribution; raises ``InvalidInputError`` if there are too many."""
        count = sum(prod(info.shape) for info in self.parameters) + _COUNTS
        if count > _MOST_WORDS:
            raise InvalidInputError(f"a sum of updates holds at most {_MOST_WORDS} numbers, not {count}")
        return count

    def pieces(self) -> list[range]:
        """Cut a contribution so that one piece of all contributors fits into one message."""
        size, words = _OPENING_WORDS // len(self.contributors), self.words()
        return [range(start, min(start + size, words)) for start in range(0, words, size)]

    def piece(self, number: int) -> range:
        """Give the words of one piece; raises ``InvalidInputError``."""
        pieces = self.pieces()
        if number >= len(pieces):
            raise InvalidInputError(f"a contribution to this sum has {len(pieces)} pieces, not {number + 1}")
        return pieces[number]

    def digest(self) -> str:
        """SHA-256 of the whole document, in hex."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


PieceNumber = Annotated[int, Field(ge=0, lt=2**16, json_schema_extra={"format": "int32"})]


class UpdateContributionIn(BaseModel):
    """Ask a node to hand the update of a training that ended to the aggregators, as shares."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [SECURE_SUM_EXAMPLES["UpdateContributionIn"]]}
    )

    document: AggregationDocument
    training_id: str = Field(max_length=64, description="Started with `secure`.")
    piece: PieceNumber = 0


class UpdateOpeningIn(BaseModel):
    """Ask an aggregator for the sum of its shares of some contributors: for one document always the same."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [SECURE_SUM_EXAMPLES["UpdateOpeningIn"]]}
    )

    document: AggregationDocument
    piece: PieceNumber = 0
    contributors: list[str] = Field(
        min_length=2,
        max_length=MOST_CONTRIBUTORS,
        description="Ids of the nodes that contributed, in the document's order.",
    )
    shares: list[SumShare] = Field(max_length=MOST_CONTRIBUTORS, description="One of each, in their order.")


def lesson_digest(body: TrainingIn, parameters: str) -> str:
    """Name what a training does to any rows: plan, numbers, schedule, and ``parameters``, their digest."""
    text = body.model_dump_json(by_alias=True, include=_LESSON)
    return hashlib.sha256(f"{parameters} {text}".encode()).hexdigest()
