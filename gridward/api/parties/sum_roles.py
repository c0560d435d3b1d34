"""What contributors and aggregators of a secure sum check before they take their role."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from gridward.api import queries
from gridward.api.node import Node
from gridward.api.parties.documents import check_attestations
from gridward.core.errors import DeploymentRefusedError
from gridward.core.identity import read_sign_key
from gridward.core.schemas.deployments import RoleHolder


class Agreement(Protocol):
    """A document that names who contributes and who adds up."""

    gateway_id: str

    def roles(self) -> Iterator[tuple[str, RoleHolder]]:
        """Give every role with its holder."""
        ...

    def require_fair(self) -> None:
        """Raise ``DeploymentRefusedError`` where the sum would protect nobody."""
        ...


def check_role(node: Node, document: Agreement, holders: Sequence[RoleHolder], role: str) -> int:
    """Check all role holders with this node's own pinned key of the gateway; give its own position.

    Raises ``DeploymentRefusedError``, naming the holder and the cause.
    """
    with node.database.read() as db:
        membership = queries.joined_membership(db, document.gateway_id)
    if membership is None:
        raise DeploymentRefusedError(
            f"{node.settings.name} did not join the gateway that vouches for the others"
        )
    check_attestations(
        document.gateway_id, document.roles(), read_sign_key(membership.sign_key), node.clock()
    )
    document.require_fair()
    for position, holder in enumerate(holders):
        if holder.node_id == node.keys.id:
            if holder.seal_key != node.keys.seal_key_text:
                raise DeploymentRefusedError(f"{node.settings.name} is named with a key that is not its own")
            return position
    raise DeploymentRefusedError(f"{node.settings.name} is no {role} of this sum")


def require_offer(node: Node) -> None:
    """Raise ``DeploymentRefusedError`` where this node's owner does not let it add up shares of others."""
    if not node.settings.offer_party:
        raise DeploymentRefusedError(f"{node.settings.name}'s owner does not offer to add up shares")
