"""What a node is in a deployment, and the deployment as it knows it."""

from dataclasses import dataclass
from enum import StrEnum

from gridward.core.schemas.deployments import DeploymentDocument, DeploymentState


class Role(StrEnum):
    """What this node is in a deployment."""

    HOST = "host"
    PARTY = "party"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Record:
    """A deployment as this node knows it; ``position`` is the party's index, else -1."""

    document: DeploymentDocument
    role: Role
    position: int
    state: DeploymentState

    @property
    def id(self) -> str:
        """The deployment's id."""
        return self.document.id
