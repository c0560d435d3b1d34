"""What is left at the parties of an encrypted model: each tells its host, and that tells who hosts it."""

from pathlib import Path

from gridward.api.parties import records
from gridward.api.parties.roles import Role
from gridward.core.schemas.bundles import ModelStockOut, PartyLeft, StockOut
from gridward.core.schemas.deployments import DeploymentDocument
from tests.support.cast import Cast
from tests.support.nodes import NodeUnderTest
from tests.support.offline import running
from tests.support.visitors import Visitor, text_of
from tests.unit.api.services.test_models import serve

SILENT = "http://127.0.0.1:9"


def held(batch: int, left: int) -> StockOut:
    return StockOut(batch=batch, left=left, left_bytes=8 * left, spent=1, spent_bytes=8)


def deployed(node: NodeUnderTest, folder: Path) -> DeploymentDocument:
    """Serve carol's model encrypted, as the host that a node is, with parties that do not answer."""
    serve(node, node.as_("carol"))
    draft = Cast(folder).document()
    parties = [party.model_copy(update={"url": SILENT}) for party in draft.parties]
    document = draft.model_copy(update={"model_id": "diagnosis", "parties": parties})
    with node.node.database.write() as db:
        records.remember(node.node, db, document, Role.HOST, -1, "carol")
    return document


def test_a_party_tells_its_host_and_nobody_else(tmp_path: Path) -> None:
    cast = Cast(tmp_path / "cast")
    with running(tmp_path, "public", cast) as party:
        document = party.document()
        assert party.propose("parties", document).status_code == 200
        path = f"/v1/parties/deployments/{document.id}/stock"
        assert party.call(cast.nodes["company"], "GET", path).json() == {"stock": []}
        for stranger in ("hospital", "university"):
            assert party.call(cast.nodes[stranger], "GET", path).status_code == 404
        assert party.http.get(path).status_code == 401


def test_silent_parties_are_named_to_who_hosts_the_model(node: NodeUnderTest, tmp_path: Path) -> None:
    document = deployed(node, tmp_path)
    for user in ("carol", "bob"):
        answer = node.client.get("/v1/models/diagnosis/stock", headers=node.as_(user))
        assert answer.status_code == 200, answer.text
        found = ModelStockOut.model_validate(answer.json())
        assert found.deployment_id == document.id
        assert [(one.party, one.stock) for one in found.parties] == [("hospital", None), ("public", None)]


def test_who_does_not_host_the_model_is_told_nothing(node: NodeUnderTest, tmp_path: Path) -> None:
    deployed(node, tmp_path)
    assert node.client.get("/v1/models/diagnosis/stock", headers=node.as_("dana")).status_code == 403
    assert node.client.get("/v1/models/missing/stock", headers=node.as_("carol")).status_code == 404
    assert node.client.get("/v1/models/diagnosis/stock").status_code == 401


def test_the_models_page_leads_its_host_to_what_is_left(node: NodeUnderTest, tmp_path: Path) -> None:
    deployed(node, tmp_path)
    said = text_of(Visitor(node.client, "carol").shows("/models/diagnosis/stock"))
    assert said.count("does not answer") == 2
    node.as_("dana")
    assert Visitor(node.client, "dana").get("/models/diagnosis/stock").status_code == 403


def test_queries_are_ready_where_every_party_has_a_bundle() -> None:
    def found(*stocks: list[StockOut] | None) -> dict[int, int]:
        parties = [PartyLeft(party=str(at), owner="", stock=one) for at, one in enumerate(stocks)]
        return ModelStockOut(deployment_id="d", parties=parties).ready()

    assert found([held(1, 8), held(4, 2)], [held(1, 5)]) == {1: 5, 4: 0}
    assert found([held(1, 8)], None) == {1: 0}
    assert found([], []) == {}
