"""Calls to the parties of an encrypted model, each under its own grant of the model's host."""

from collections.abc import Sequence

import httpx2

from gridward.client.transport import Transport
from gridward.core.errors import DeploymentRefusedError, NotSignedInError
from gridward.core.schemas.deployments import DeploymentDocument, PartyGrant


class GrantedCredentials:
    """A grant of the model's host: good for one thing at one party, and not renewable."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """Give the grant."""
        return self._token

    def renew(self, refused: str) -> None:
        """Say that the grant is over."""
        raise NotSignedInError("the party does not take the host's grant; ask again")


def calls_to_parties(
    grants: Sequence[PartyGrant], document: DeploymentDocument, http: httpx2.Client
) -> list[Transport]:
    """Calls to all parties in their order, each under its own grant.

    Raises ``DeploymentRefusedError`` for any other set of grants: two for one party would send it two shares.
    """
    require_one_each(grants, document)
    return [call_to_party(grant, document, http) for grant in grants]


def require_one_each(grants: Sequence[PartyGrant], document: DeploymentDocument) -> None:
    """Raise ``DeploymentRefusedError`` unless there is one grant for each party, in their order."""
    if [grant.party for grant in grants] != list(range(len(document.parties))):
        raise DeploymentRefusedError("the host did not give one grant for each party")


def call_to_party(grant: PartyGrant, document: DeploymentDocument, http: httpx2.Client) -> Transport:
    """Calls to one party, at the address that the gateway attests, under the host's grant."""
    holder = document.parties[grant.party]
    if holder.node_id != grant.node_id:
        raise DeploymentRefusedError(f"the host's grant for party {grant.party} names another node")
    calls = Transport(holder.url, credentials=GrantedCredentials(grant.token), http=http)
    calls.label = f"party {holder.name!r} at {calls.url}"
    return calls
