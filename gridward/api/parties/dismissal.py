"""Ending a deployment: parties and provider are told, and wipe what they hold."""

from collections.abc import Iterator

from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.calls import Peer
from gridward.core.errors import GridError, ObjectNotFoundError
from gridward.core.schemas.deployments import DeploymentDocument, RoleHolder


def peer_of(holder: RoleHolder) -> Peer:
    """Give a role holder as a receiver of signed calls."""
    return Peer(holder.node_id, holder.name, holder.url)


def role_paths(document: DeploymentDocument) -> Iterator[tuple[RoleHolder, str]]:
    """Give parties and provider, each with the path under which it knows the deployment."""
    for party in document.parties:
        yield party, f"/v1/parties/deployments/{document.id}"
    yield document.crypto_provider, f"/v1/provider/deployments/{document.id}"


def dismiss(node: Node, document: DeploymentDocument) -> None:
    """Tell every role that the deployment is over. Who cannot be reached is logged and keeps what it has."""
    for holder, path in role_paths(document):
        try:
            node.calls.send(peer_of(holder), "DELETE", path, timeout_s=node.settings.party_timeout_s)
        except ObjectNotFoundError:
            continue  # it never took the role, or was told before
        except GridError as why:
            with node.database.write() as db:
                records.log(node, db, why.detail, "deployment.dismiss-failed", document.id)


def end_deployments(node: Node, model_id: str, actor: str) -> None:
    """End every deployment of a model hosted here, everywhere."""
    with node.database.read() as db:
        hosted = [records.record_of(row) for row in records.deployments_of_model(db, model_id)]
    for record in hosted:
        dismiss(node, record.document)
        records.forget(node, record.id, actor)
