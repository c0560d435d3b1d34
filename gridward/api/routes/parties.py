"""The node as a party of encrypted models: it holds one share of each parameter, and never gives it away."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, WebSocket

from gridward.api.lanes.accept import accept_lane
from gridward.api.node import NodeOf
from gridward.api.parties import probe as measuring
from gridward.api.parties.channel import serve_channel
from gridward.api.services import bundles, parties
from gridward.core.schemas.bundles import PartyStock
from gridward.core.schemas.deployments import (
    Acceptance,
    ActivationOut,
    DeploymentDocument,
    LaneOut,
    QueryAnswer,
    SealedOut,
)
from gridward.core.schemas.probes import ProbeIn, ProbeOut
from gridward.server.state import BearerToken, RawBody

router = APIRouter(prefix="/v1/parties/deployments/{deployment_id}", tags=["parties"])
before = APIRouter(prefix="/v1/parties", tags=["parties"])

DeploymentPath = Annotated[str, Path(pattern=r"^[a-z0-9]{16,32}$")]
QueryPath = Annotated[str, Path(pattern=r"^[a-z0-9]{16,32}$")]
Bytes = Annotated[bytes, Body(media_type="application/octet-stream")]


@before.post("/probe")
def probe(body: ProbeIn, node: NodeOf, token: BearerToken, raw: RawBody) -> ProbeOut:
    """Measure the way to other parties and the provider, before a deployment. Signed by the host."""
    return measuring.probe(node, token, raw, body)


@router.put("")
def accept_party(
    deployment_id: DeploymentPath,
    document: DeploymentDocument,
    node: NodeOf,
    token: BearerToken,
    raw: RawBody,
) -> Acceptance:
    """Take the role of a party. Signed by the host; refused unless this node's owner offers the role."""
    return parties.accept(node, token, raw, deployment_id, document)


@router.delete("", status_code=204)
def withdraw_party(deployment_id: DeploymentPath, node: NodeOf, token: BearerToken) -> None:
    """End the role and wipe shares and bundles. Signed by the host."""
    parties.withdraw(node, token, deployment_id)


@router.put("/parameters", status_code=204)
def store_parameter_share(
    deployment_id: DeploymentPath, node: NodeOf, token: BearerToken, body: Bytes
) -> None:
    """Receive this party's share of the parameters, sealed to it. Needs the host's grant."""
    parties.store_parameters(node, token, deployment_id, body)


@router.post("/activation")
def activate_party(deployment_id: DeploymentPath, node: NodeOf, token: BearerToken) -> ActivationOut:
    """Open the masked weights with the other parties, once. Signed by the host."""
    return parties.activate(node, token, deployment_id)


@router.post("/queries/{query_id}", status_code=201)
def open_query(
    deployment_id: DeploymentPath, query_id: QueryPath, node: NodeOf, token: BearerToken
) -> SealedOut:
    """Spend the query's bundle; returns this party's share of the input mask, sealed to the asker."""
    return SealedOut.of(parties.open_query(node, token, deployment_id, query_id).sealed)


@router.post("/queries/{query_id}/answer")
def answer_query(
    deployment_id: DeploymentPath, query_id: QueryPath, node: NodeOf, token: BearerToken, body: Bytes
) -> QueryAnswer:
    """Run the query on the masked input; returns this party's share of the answer, sealed to the asker."""
    answered = parties.answer(node, deployment_id, query_id, parties.proof_of(token), body)
    return QueryAnswer(
        sealed=SealedOut.of(answered.sealed).sealed,
        rounds=answered.rounds,
        sent_bytes=answered.sent_bytes,
        seconds=answered.seconds,
    )


@router.post("/lane")
def direct_port(deployment_id: DeploymentPath, node: NodeOf, token: BearerToken) -> LaneOut:
    """Say where this party takes direct TLS connections. Signed by another party."""
    return parties.direct_port(node, token, deployment_id)


@router.get("/stock")
def tell_stock(deployment_id: DeploymentPath, node: NodeOf, token: BearerToken) -> PartyStock:
    """Say how many bundles are left here. Signed by the host."""
    return bundles.tell_host(node, token, deployment_id)


@router.websocket("/lane")
async def lane(socket: WebSocket, deployment_id: str) -> None:
    """The other parties' way in: binary frames of joint computations, one after another."""
    await accept_lane(socket, deployment_id)


@router.websocket("/queries")
async def channel(socket: WebSocket, deployment_id: str) -> None:
    """The clients' short way in: queries opened and answered without a request's overhead."""
    await serve_channel(socket, deployment_id)
