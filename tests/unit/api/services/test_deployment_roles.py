"""A node as party and as provider, called over HTTP by nodes whose keys the test holds."""

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.websockets import WebSocketDisconnect

from gridward.api.lanes.accept import lane_path
from gridward.api.lanes.lane import beginning
from gridward.api.main import create_app
from gridward.api.node import Node
from gridward.api.parties import grants
from gridward.api.parties.documents import compile_document
from gridward.api.parties.grants import Grant, Purpose
from gridward.api.tables.memberships import Membership
from gridward.core.errors import ProtocolError
from gridward.core.plans import codec
from gridward.core.schemas.deployments import DeploymentDocument
from gridward.core.schemas.plan import PlanDocument
from gridward.core.smpc import purposes
from gridward.core.smpc.deployment import split_parameters
from gridward.core.smpc.sealing import seal
from gridward.server import keys
from gridward.server.keys import Keys, decode_key
from gridward.server.settings import NodeSettings
from gridward.server.signing import sign_request
from tests.support.cast import NOW, Cast
from tests.support.parties import SeededEntropy, mlp_plan, random_values


class RoleHolderUnderTest:
    """A real node that stands in for one of the cast."""

    def __init__(self, cast: Cast, name: str, http: TestClient) -> None:
        self.cast = cast
        self.http = http
        self.node: Node = http.app.state.server  # type: ignore[attr-defined]
        self.node.clock = lambda: NOW
        cast.nodes[name] = self.node.keys
        with self.node.database.write() as db:
            db.add(
                Membership(
                    gateway_id=cast.gateway.id,
                    gateway_name="grid",
                    gateway_url="http://grid.example",
                    sign_key=cast.gateway.sign_key_text,
                    state="joined",
                    created_at=NOW,
                )
            )

    def document(self, number: int = 0, inputs: int = 2) -> DeploymentDocument:
        plan = PlanDocument.model_validate(codec.to_dict(mlp_plan(inputs, 3, 1)))
        draft = self.cast.document().model_copy(update={"plan": plan, "id": f"{number:032d}"})
        return draft.model_copy(update={"program_digest": compile_document(draft, 1).digest})

    def call(self, signer: Keys, method: str, path: str, body: bytes = b"") -> Response:
        token = self.signed(signer, f"{method} {path}", body)
        return self.bearing(token, method, path, body)

    def signed(self, signer: Keys, target: str, body: bytes = b"") -> str:
        return sign_request(signer, self.node.keys.id, body, target=target, clock=lambda: NOW)

    def bearing(
        self, token: str, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        return self.http.request(method, path, content=body, headers=headers)

    def propose(self, kind: str, document: DeploymentDocument) -> Response:
        raw = document.model_dump_json(by_alias=True).encode()
        return self.call(self.cast.nodes["company"], "PUT", f"/v1/{kind}/deployments/{document.id}", raw)

    def deliver(self, document: DeploymentDocument, seed: int) -> Response:
        """Send the public node, party 1, its share of some parameters, as the model's owner does."""
        program = compile_document(document, 1)
        packet = split_parameters(program, random_values(program, seed), SeededEntropy(seed))[1]
        sealed = seal(decode_key(self.node.keys.seal_key_text), packet, purposes.parameters(document.id, 1))
        grant = Grant(document.id, Purpose.PARAMETERS, "carl")
        token = grants.sign(grant, self.cast.nodes["company"], self.node.keys.id, NOW)
        path = f"/v1/parties/deployments/{document.id}/parameters"
        return self.bearing(token, "PUT", path, sealed, "application/octet-stream")


@pytest.fixture(params=["parties", "provider"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def holder(tmp_path: Path, kind: str) -> Iterator[RoleHolderUnderTest]:
    settings = NodeSettings(
        data_dir=tmp_path / "node", offer_party=True, offer_provider=True, party_timeout_s=0.2
    )
    keys.make(settings.data_dir)
    name = "public" if kind == "parties" else "university"
    with TestClient(create_app(settings)) as http:
        yield RoleHolderUnderTest(Cast(tmp_path / "cast"), name, http)


def test_a_role_is_taken_twice_for_one_document_and_never_after_it_ended(
    holder: RoleHolderUnderTest, kind: str
) -> None:
    document, host = holder.document(), holder.cast.nodes["company"]
    path = f"/v1/{kind}/deployments/{document.id}"
    for _ in range(2):
        taken = holder.propose(kind, document)
        assert (taken.status_code, taken.json()["program_digest"]) == (200, document.program_digest)
    assert holder.call(holder.cast.nodes["hospital"], "DELETE", path).status_code == 404
    assert holder.call(host, "DELETE", path).status_code == 204
    assert holder.call(host, "DELETE", path).status_code == 404
    refused = holder.propose(kind, document)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert [file for file in (holder.node.settings.data_dir / kind).rglob("*") if file.is_file()] == []
    assert holder.propose(kind, holder.document(1)).status_code == 200


@pytest.mark.parametrize("kind", ["parties"], indirect=True)
def test_a_host_cannot_have_other_parameters_masked_by_the_same_masks(holder: RoleHolderUnderTest) -> None:
    document, host = holder.document(), holder.cast.nodes["company"]
    assert holder.propose("parties", document).status_code == 200
    assert [holder.deliver(document, seed).status_code for seed in (1, 1, 2)] == [204, 204, 409]
    assert holder.call(host, "DELETE", f"/v1/parties/deployments/{document.id}").status_code == 204
    holder.propose("parties", document)
    assert holder.deliver(document, 2).status_code == 404


@pytest.mark.parametrize("kind", ["parties"], indirect=True)
def test_a_party_of_one_deployment_cannot_join_a_session_of_another(holder: RoleHolderUnderTest) -> None:
    ours, session = holder.document(), "e" * 32
    theirs = holder.document(1)
    for document in (ours, theirs):
        assert holder.propose("parties", document).status_code == 200
    intruder = holder.cast.nodes["hospital"]
    target = lane_path(theirs.id)
    headers = {"Authorization": f"Bearer {holder.signed(intruder, f'GET {target}')}"}
    board = holder.node.room.switchboard
    claimed = None
    # Leaving, Starlette's test client may cancel the app before it has said good-bye.
    with suppress(CancelledError), holder.http.websocket_connect(target, headers=headers) as socket:
        socket.send_bytes(beginning(session))
        claimed = board.claim((theirs.id, session), 0, 2.0)
        with pytest.raises(ProtocolError, match="did not join"):
            board.claim((ours.id, session), 0, 0.2)
    assert claimed is not None
    stranger = {"Authorization": f"Bearer {holder.signed(holder.cast.nodes['company'], f'GET {target}')}"}
    with pytest.raises(WebSocketDisconnect), holder.http.websocket_connect(target, headers=stranger):
        pass


def test_a_plan_that_asks_for_too_much_memory_gives_no_role(holder: RoleHolderUnderTest, kind: str) -> None:
    refused = holder.propose(kind, holder.document(inputs=1 << 40))
    assert refused.status_code == 422
    assert "bytes here; this node allows" in refused.json()["detail"]


def test_numbers_that_do_not_go_together_are_refused(holder: RoleHolderUnderTest, kind: str) -> None:
    odd = holder.document().model_copy(update={"fraction_bits": 24, "width": 48})
    refused = holder.propose(kind, odd)
    assert refused.status_code == 422
    assert "must add up to 62 at most" in refused.json()["detail"]
