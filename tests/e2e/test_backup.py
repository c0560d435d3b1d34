"""A node goes back to its back-up: it works, and nobody is left in the dark about what was lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import gridward as gw
from tests.support.grids import PASSWORD, ServerProcess, eventually, gridward

pytestmark = pytest.mark.e2e


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """A gateway of olga's and a node of bob's that joined it."""
    gateway = ServerProcess("gateway", "grid", tmp_path / "gateway")
    node = ServerProcess("node", "hospital", tmp_path / "hospital")
    try:
        for server, owner in ((gateway, "olga"), (node, "bob")):
            token = server.init()
            server.start()
            gw.setup_owner(server.url, token, owner, PASSWORD)
        with gw.connect(node.url, "bob", PASSWORD) as bob, gw.network(gateway.url, "olga", PASSWORD) as olga:
            bob.join(gateway.url)
            olga.approve("hospital", owner="Charity")
        yield gateway, node
    finally:
        node.stop()
        gateway.stop()


def test_a_node_put_back_has_its_data_and_says_what_its_log_lost(
    servers: tuple[ServerProcess, ServerProcess], tmp_path: Path
) -> None:
    gateway, node = servers
    archive = tmp_path / "hospital.backup"
    with gw.connect(node.url, "bob", PASSWORD) as bob, gw.network(gateway.url, "olga", PASSWORD) as olga:
        bob.publish("early", torch.arange(20.0))
        made = gridward("backup", str(archive), "--data-dir", str(node.data_dir))
        assert made.returncode == 0, made.stderr
        bob.publish("late", torch.arange(20.0))
        signed = bob.audit.head()
        eventually(
            lambda: any(head.count >= signed.count for head in olga.witnessed("hospital")) or None,
            "the gateway to hear of it",
        )
    node.kill()
    node.data_dir.rename(tmp_path / "burnt")
    done = gridward("restore", str(archive), "--data-dir", str(node.data_dir))
    assert done.returncode == 0, done.stderr
    node.start()
    with gw.connect(node.url, "bob", PASSWORD) as bob, gw.network(gateway.url, "olga", PASSWORD) as olga:
        assert [found.name for found in bob.search()] == ["early"]
        assert bob.dataset("early").sum().get() == 190.0
        lost = eventually(
            lambda: next(bob.audit.search(action="audit_lost"), None), "the node to hear what it signed"
        )
        assert f"entry {signed.count} as signed on" in lost.reason
        assert next(bob.audit.search(action="restore")).reason.startswith("from a back-up of")
        told = next(olga.audit.search(action="node_audit_lost"))
        assert told.subject == bob.id
        assert bob.audit.verify().flaws
        heads, log = tmp_path / "heads.jsonl", tmp_path / "log.jsonl"
        heads.write_text("".join(f"{head.model_dump_json()}\n" for head in olga.witnessed("hospital")))
        bob.audit.export(log)
    checked = gridward("audit", "verify", str(log), "--head", str(heads))
    assert checked.returncode == 1
    assert (
        f"{signed.count} entries were signed" in checked.stdout or "is not the one that was" in checked.stdout
    )
