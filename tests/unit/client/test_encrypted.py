"""What an owner and an asker refuse of a host: it would learn a model, or a query, if they did not."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import torch
from torch import nn

from gridward.api.parties.documents import compile_document
from gridward.client import encrypted, models
from gridward.client.asking import Asker
from gridward.client.granted import calls_to_parties
from gridward.client.ranges import Ranges
from gridward.client.rules import ModelAccess
from gridward.core.errors import DeploymentRefusedError
from gridward.core.schemas.deployments import (
    Costs,
    DeploymentDocument,
    DeploymentOut,
    DeploymentState,
    LineWidth,
    PartyGrant,
)
from gridward.core.schemas.gateway import GatewayOut
from gridward.core.schemas.models import ModelIn
from gridward.core.schemas.plan import PlanDocument
from tests.support.cast import NOW, Cast
from tests.support.places import RecordingPlace

STORED = {
    "id": "linear",
    "description": "",
    "tags": [],
    "version": 1,
    "plan_digest": "0" * 64,
    "inputs": [],
    "outputs": [],
    "parameters": [],
    "holds_parameters": False,
    "deployment_id": None,
    "hosted_by": "carl",
    "trained_on": [],
    "created_at": NOW.isoformat(),
    "verbs": [],
}
Change = Callable[[DeploymentDocument], DeploymentDocument]


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    return Cast(tmp_path)


@pytest.fixture
def company(cast: Cast) -> RecordingPlace:
    place = RecordingPlace("company")
    place.id = cast.nodes["company"].id
    return place


def grants_for(document: DeploymentDocument, *parties: int) -> list[PartyGrant]:
    holders = [document.parties[party] for party in parties]
    return [
        PartyGrant(party=at, node_id=one.node_id, url=one.url, seal_key=one.seal_key, token="granted")
        for at, one in zip(parties, holders, strict=True)
    ]


class Host:
    """A host that answers with a deployment of its choice."""

    def __init__(self, cast: Cast, change: Change, plan: PlanDocument | None = None) -> None:
        self._cast = cast
        self._change = change
        self._plan = plan

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            return httpx2.Response(204)
        if request.url.path == "/v1/models":
            self._plan = ModelIn.model_validate_json(request.content).plan
            return httpx2.Response(201, json=STORED)
        return httpx2.Response(201, content=self._offer().model_dump_json(by_alias=True))

    def _offer(self) -> DeploymentOut:
        plan = PlanDocument.model_validate(self._plan)
        document = self._change(self._cast.document().model_copy(update={"plan": plan, "model_id": "linear"}))
        digest = compile_document(document, 1).digest
        costs = Costs(
            rounds=1, online_bytes_per_party=1, dealer_bytes=1, setup_bytes=1, ring_macs=1, memory_bytes=1
        )
        return DeploymentOut(
            document=document.model_copy(update={"program_digest": digest}),
            state=DeploymentState.PROPOSED,
            costs=costs,
            measured_error=None,
            lanes=[],
            parameter_grants=grants_for(document, 0, 1),
            created_at=NOW,
        )


class DeliveredError(Exception):
    """Shares would have left."""


@pytest.fixture
def serve(cast: Cast, company: RecordingPlace, monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], object]:
    def deliver(*_: object) -> None:
        raise DeliveredError

    monkeypatch.setattr(encrypted, "_deliver", deliver)
    grid = GatewayOut(
        id=cast.gateway.id, name="grid", version="0", sign_key=cast.gateway.sign_key_text, owned=True
    )

    def run(change: Change) -> object:
        asked = {"input_range": (-1.0, 1.0), "maxima": "tree"}
        company.answer = Host(cast, lambda document: change(document.model_copy(update=asked)))
        return encrypted.serve(
            company,
            nn.Linear(2, 1),
            "linear",
            torch.zeros(1, 2),
            parties=["hospital", cast.nodes["public"].id],
            crypto_provider="university",
            description="",
            tags=(),
            access=ModelAccess(),
            gateway=grid,
            ranges=Ranges(input=(-1.0, 1.0)),
            maxima="tree",
        )

    return run


def test_shares_leave_for_the_nodes_that_were_asked_for(serve: Callable[[Change], object]) -> None:
    with pytest.raises(DeliveredError):
        serve(lambda document: document)


def test_no_share_leaves_where_the_host_offers_something_else(
    cast: Cast, company: RecordingPlace, serve: Callable[[Change], object]
) -> None:
    def forged(document: DeploymentDocument) -> DeploymentDocument:
        fake = [cast.holder(name, signer=cast.nodes["company"]) for name in ("hospital", "public")]
        return document.model_copy(update={"parties": fake})

    def swapped(document: DeploymentDocument) -> DeploymentDocument:
        return document.model_copy(update={"parties": document.parties[::-1]})

    def one_owner(document: DeploymentDocument) -> DeploymentDocument:
        parties = [document.parties[0], cast.holder("public", "owner of company")]
        return document.model_copy(update={"parties": parties})

    def with_another_provider(document: DeploymentDocument) -> DeploymentDocument:
        changed = {
            "crypto_provider": document.parties[1],
            "parties": [document.parties[0], document.crypto_provider],
        }
        return document.model_copy(update=changed)

    def of_another_host(document: DeploymentDocument) -> DeploymentDocument:
        changed = {"host": document.crypto_provider, "crypto_provider": document.host}
        return document.model_copy(update=changed)

    def of_another_range(document: DeploymentDocument) -> DeploymentDocument:
        return document.model_copy(update={"input_range": (-1.0, 0.5)})

    def guarded(document: DeploymentDocument) -> DeploymentDocument:
        return document.model_copy(update={"guard": True})

    def narrower(document: DeploymentDocument) -> DeploymentDocument:
        width = LineWidth(line="input x", bits=8, proved=True)
        return document.model_copy(update={"widths": [width]})

    def in_pairs(document: DeploymentDocument) -> DeploymentDocument:
        return document.model_copy(update={"maxima": "pairs"})

    def coarser(document: DeploymentDocument) -> DeploymentDocument:
        return document.model_copy(update={"fraction_bits": 8})

    changes = (forged, swapped, one_owner, with_another_provider, of_another_host, coarser)
    for change in (*changes, of_another_range, guarded, narrower, in_pairs):
        with pytest.raises(DeploymentRefusedError):
            serve(change)
        withdrawn = [request.url.path for request in company.requests if request.method == "DELETE"]
        assert withdrawn[-1] == "/v1/models/linear"


@pytest.mark.parametrize("parties", [(0, 0), (1, 0), (0,), (0, 1, 1), ()])
def test_two_shares_never_go_to_one_party(cast: Cast, parties: tuple[int, ...]) -> None:
    document = cast.document()
    with httpx2.Client() as http:
        assert len(calls_to_parties(grants_for(document, 0, 1), document, http)) == 2
        with pytest.raises(DeploymentRefusedError, match="one grant for each party"):
            calls_to_parties(grants_for(document, *parties), document, http)


def test_an_asker_refuses_the_deployment_of_another_host(cast: Cast, company: RecordingPlace) -> None:
    grid = GatewayOut(
        id=cast.gateway.id, name="grid", version="0", sign_key=cast.gateway.sign_key_text, owned=True
    )
    asker = Asker(grid)
    plan, _ = models.traced_inference(nn.Linear(2, 1), torch.zeros(1, 2), "linear")
    company.answer = Host(cast, lambda document: document, plan)
    company.id = cast.nodes["hospital"].id
    with pytest.raises(DeploymentRefusedError, match="another node's deployment"):
        asker.ask(company, "linear", torch.zeros(1, 2))
    asker.close()
