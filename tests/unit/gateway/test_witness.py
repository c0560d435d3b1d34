"""The gateway keeps what nodes sign of their audit logs, and sees when a log lost entries."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import select

from gridward.core.audit import sign_head
from gridward.gateway.tables import AuditEntry
from tests.support.gateways import GatewayUnderTest, SigningNode

HOUR_S = 3600.0


def say(node: SigningNode, count: int, digest: str) -> dict[str, object] | None:
    """Send a heartbeat with a head; return what the gateway says that it knows."""
    node.grid.clock.forward(1)
    head = sign_head(node.keys.sign_key, count, digest * 64, node.grid.clock())
    answer = node.beat(audit=head.model_dump(mode="json"))
    assert answer.status_code == 200, answer.text
    witnessed = answer.json()["witnessed"]
    return witnessed and (witnessed["count"], witnessed["digest"][0])


def kept(node: SigningNode) -> list[tuple[int, str]]:
    items = node.send("GET", f"/v1/nodes/{node.keys.id}/audit-heads").json()["items"]
    return [(head["count"], head["digest"][0]) for head in items]


def losses(grid: GatewayUnderTest) -> list[str]:
    with grid.gateway.database.read() as db:
        found = db.exec(select(AuditEntry).where(AuditEntry.action == "node_audit_lost")).all()
    return [row.reason for row in found]


def test_a_log_that_grows_is_kept_by_the_hour(grid: GatewayUnderTest) -> None:
    node = grid.node("hospital")
    assert say(node, 1, "a") is None
    assert say(node, 5, "b") == (1, "a")
    assert say(node, 5, "b") == (5, "b")
    grid.clock.forward(HOUR_S)
    assert say(node, 9, "c") == (5, "b")
    assert kept(node) == [(5, "b"), (9, "c")]
    assert losses(grid) == []


def test_a_log_that_got_shorter_is_told_of_once_and_its_head_stays(grid: GatewayUnderTest) -> None:
    node = grid.node("hospital")
    say(node, 5, "b")
    assert say(node, 3, "d") == (5, "b")
    assert say(node, 4, "e") == (5, "b")
    assert losses(grid) == ["signed for 5 entries before, and for 3 now: some are not the same"]
    assert say(node, 6, "f") == (5, "b")
    assert say(node, 7, "f") == (6, "f")
    assert kept(node) == [(5, "b"), (7, "f")]
    assert len(losses(grid)) == 1


def test_a_log_as_long_as_before_with_another_end_is_told_of(grid: GatewayUnderTest) -> None:
    node = grid.node("hospital")
    say(node, 5, "b")
    assert say(node, 5, "c") == (5, "b")
    assert len(losses(grid)) == 1


def test_a_heartbeat_that_was_overtaken_accuses_nobody(grid: GatewayUnderTest) -> None:
    node = grid.node("hospital")
    late = sign_head(node.keys.sign_key, 4, "a" * 64, grid.clock())
    say(node, 5, "b")
    assert node.beat(audit=late.model_dump(mode="json")).json()["witnessed"]["count"] == 5
    assert losses(grid) == []


def test_only_a_node_itself_signs_for_its_log(grid: GatewayUnderTest) -> None:
    node = grid.node("hospital")
    for key in (Ed25519PrivateKey.generate(), grid.node("ward").keys.sign_key):
        head = sign_head(key, 99, "f" * 64, grid.clock())
        assert node.beat(audit=head.model_dump(mode="json")).status_code == 422
    forged = sign_head(node.keys.sign_key, 1, "f" * 64, grid.clock()).model_copy(update={"count": 99})
    assert node.beat(audit=forged.model_dump(mode="json")).status_code == 422
    assert kept(node) == []


def test_nothing_is_kept_of_a_node_that_is_no_member(grid: GatewayUnderTest) -> None:
    node = grid.node("hospital", member=False)
    assert say(node, 5, "b") is None
    path = f"/v1/nodes/{node.keys.id}/audit-heads"
    assert grid.node("ward").send("GET", path).json() == {"items": []}
