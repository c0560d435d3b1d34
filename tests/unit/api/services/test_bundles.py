"""Bundles over HTTP: who may ask, what is dealt ahead, and what a start clears."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response

from gridward.api.parties import records
from gridward.api.parties.dealt import replace_durably
from gridward.api.parties.roles import Role
from gridward.api.parties.shelf import Shelf
from gridward.api.services import provider
from gridward.core.schemas.bundles import BundlesHad, BundlesIn
from gridward.core.schemas.deployments import DeploymentDocument, DeploymentState
from gridward.core.smpc.packets import parse_packet
from gridward.core.smpc.pieces import read_pieces, wire_bytes
from tests.support.cast import Cast
from tests.support.grids import eventually
from tests.support.offline import restarted, running
from tests.unit.api.services.test_deployment_roles import RoleHolderUnderTest

AHEAD = 3


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    return Cast(tmp_path / "cast")


@pytest.fixture
def dealer(tmp_path: Path, cast: Cast) -> Iterator[RoleHolderUnderTest]:
    with running(tmp_path, "university", cast, bundles_dealt_ahead=AHEAD) as made:
        yield made


def taken(dealer: RoleHolderUnderTest, number: int = 0) -> DeploymentDocument:
    document = dealer.document(number)
    assert dealer.propose("provider", document).status_code == 200
    return document


def ask(
    dealer: RoleHolderUnderTest,
    document: DeploymentDocument,
    body: BundlesIn | BundlesHad | None,
    signer: str = "hospital",
) -> Response:
    what = {BundlesIn: "bundles", BundlesHad: "bundles/confirmation"}.get(type(body), "setup")
    raw = body.model_dump_json().encode() if body else b""
    path = f"/v1/provider/deployments/{document.id}/{what}"
    return dealer.call(dealer.cast.nodes[signer], "POST", path, raw)


def shelf_of(dealer: RoleHolderUnderTest, document: DeploymentDocument) -> Shelf:
    return provider.shelf_of(dealer.node, records.find(dealer.node, document.id, Role.PROVIDER))


def test_several_bundles_come_in_one_answer_sealed_to_their_party(dealer: RoleHolderUnderTest) -> None:
    document = taken(dealer)
    answer = ask(dealer, document, BundlesIn(batch=2, serial=0, count=3))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    key = dealer.cast.nodes["hospital"].seal_key.private_bytes_raw()
    packets = [
        piece.opened(key, document.id, 0) for piece in read_pieces([answer.content], len(answer.content))
    ]
    assert [parse_packet(packet).party for packet in packets] == [0, 0, 0]
    assert [bool(parse_packet(packet).body) for packet in packets] == [True, False, True]
    assert len(answer.content) == sum(wire_bytes(len(packet)) for packet in packets)


def test_nobody_but_a_party_gets_or_confirms_a_bundle(dealer: RoleHolderUnderTest) -> None:
    document = taken(dealer)
    for body in (BundlesIn(batch=1, serial=0), BundlesHad(batch=1, serials=[0])):
        for stranger in ("company", "university"):
            assert ask(dealer, document, body, stranger).status_code == 404
    assert shelf_of(dealer, document).waiting() == {}


def test_a_bundle_that_was_had_is_refused_and_ends_a_longer_answer(dealer: RoleHolderUnderTest) -> None:
    document = taken(dealer)
    ask(dealer, document, BundlesIn(batch=1, serial=1))
    assert ask(dealer, document, BundlesHad(batch=1, serials=[1])).status_code == 204
    refused = ask(dealer, document, BundlesIn(batch=1, serial=1))
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    answer = ask(dealer, document, BundlesIn(batch=1, serial=0, count=3))
    assert len(list(read_pieces([answer.content], len(answer.content)))) == 1


def test_a_piece_that_is_not_there_is_refused(dealer: RoleHolderUnderTest) -> None:
    refused = ask(dealer, taken(dealer), BundlesIn(batch=1, serial=0, piece=1))
    assert (refused.status_code, refused.json()["detail"]) == (422, "bundle 0 has 1 pieces")


def test_bundles_are_dealt_ahead_from_the_set_up_on_for_each_batch_size_in_use(
    dealer: RoleHolderUnderTest,
) -> None:
    document = taken(dealer)
    shelf = shelf_of(dealer, document)
    assert ask(dealer, document, None).status_code == 200
    ready = records.find(dealer.node, document.id, Role.PROVIDER).state
    assert ready is DeploymentState.READY
    eventually(lambda: all(shelf.is_ready(1, number) for number in range(AHEAD)) or None, "bundles ahead")
    assert shelf.waiting()[1].ahead == AHEAD
    ask(dealer, document, BundlesIn(batch=4, serial=7))
    eventually(lambda: all(shelf.is_ready(4, number) for number in (8, 9, 10)) or None, "bundles ahead")


def test_dealing_ahead_rests_while_a_party_waits(dealer: RoleHolderUnderTest) -> None:
    document = taken(dealer)
    shelf = shelf_of(dealer, document)
    shelf.expect(1)
    with dealer.node.offline.urgent():
        provider._deal_ahead(dealer.node, document.id)
        assert shelf.waiting() == {}
    eventually(lambda: shelf.waiting().get(1) and shelf.waiting()[1].ahead == AHEAD, "bundles ahead")


def test_a_withdrawn_deployment_leaves_nothing_and_frees_its_bytes(dealer: RoleHolderUnderTest) -> None:
    document = taken(dealer)
    ask(dealer, document, BundlesIn(batch=1, serial=0, count=2))
    assert dealer.node.offline.budget.used_bytes > 0
    path = f"/v1/provider/deployments/{document.id}"
    assert dealer.call(dealer.cast.nodes["company"], "DELETE", path).status_code == 204
    assert dealer.node.offline.budget.used_bytes == 0
    assert list((dealer.node.settings.data_dir / "provider").iterdir()) == []
    assert ask(dealer, document, BundlesIn(batch=1, serial=0)).status_code == 404


def test_a_host_may_leave_so_many_proposals_and_no_more(tmp_path: Path, cast: Cast) -> None:
    with running(tmp_path, "university", cast, deployments_proposed=2) as dealer:
        first, _ = taken(dealer, 0), taken(dealer, 1)
        assert dealer.propose("provider", first).status_code == 200  # again the same: no more than it was
        refused = dealer.propose("provider", dealer.document(2))
        assert refused.json()["code"] == "deployment_refused"
        assert "2 deployments" in refused.json()["detail"]
        assert ask(dealer, first, None).status_code == 200  # ready: it counts no longer
        taken(dealer, 2)


@pytest.mark.parametrize("role", ["parties", "provider"])
def test_a_start_wipes_what_is_left_of_ended_deployments_and_takes_up_the_others(
    tmp_path: Path, cast: Cast, role: str
) -> None:
    name = "university" if role == "provider" else "public"
    with running(tmp_path, name, cast) as before:
        document = before.document()
        assert before.propose(role, document).status_code == 200
        folder = before.node.settings.data_dir / role
        replace_durably(folder / document.id / "secret", b"of a live one")
        replace_durably(folder / ("e" * 32) / "bundles" / "secret", b"of an ended one")
        ended = before.document(1)
        assert before.propose(role, ended).status_code == 200
        records.close(before.node, ended.id, "host")
        replace_durably(folder / ended.id / "secret", b"of one that was not wiped to the end")
        if role == "provider":
            ask(before, document, BundlesIn(batch=1, serial=0))
    with restarted(tmp_path, name) as after:
        assert [path.name for path in folder.iterdir()] == [document.id]
        assert records.unburied(after) == []
        if role == "provider":
            record = records.find(after, document.id, Role.PROVIDER)
            assert provider.shelf_of(after, record).is_ready(1, 0)


def test_only_who_is_signed_in_may_ask_for_the_accounts(dealer: RoleHolderUnderTest) -> None:
    assert dealer.http.get("/v1/bundles").status_code == 401
