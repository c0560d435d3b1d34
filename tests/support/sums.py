"""Nodes of several owners that joined one gateway, in this process: for sums over them."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from gridward.api.main import create_app
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.memberships import Membership
from gridward.core.schemas.deployments import RoleHolder
from gridward.core.schemas.node import MembershipState
from gridward.server import tokens
from gridward.server.ids import utc_now
from gridward.server.keys import Keys, make
from gridward.server.settings import NodeSettings
from tests.support.nodes import PASSWORD, NodeUnderTest

ASKER = secrets.token_bytes(32)


@dataclass
class Joined:
    """A gateway's key and nodes that joined it, owned by bob; dana and rita may call them."""

    gateway: Keys
    nodes: dict[str, NodeUnderTest] = field(default_factory=dict)
    running: dict[str, ExitStack] = field(default_factory=dict)

    def caller(self, name: str, user: str = "dana") -> dict[str, str]:
        """Headers of a user of the gateway at a node."""
        token = tokens.issue(
            tokens.Kind.IDENTITY,
            self.gateway.sign_key,
            issuer=self.gateway.id,
            subject=user,
            audience=self.nodes[name].node.keys.id,
            now=utc_now(),
            lifetime_s=300,
        )
        return {"Authorization": f"Bearer {token}"}

    def holder(self, name: str, owner: str = "", *, signer: Keys | None = None) -> RoleHolder:
        """A node as a document names it."""
        keys = self.nodes[name].node.keys
        said = {
            "name": name,
            "url": f"http://{name}.example",
            "owner": owner or f"owner of {name}",
            "sign_key": keys.sign_key_text,
            "seal_key": keys.seal_key_text,
        }
        token = tokens.issue(
            tokens.Kind.ATTESTATION,
            (signer or self.gateway).sign_key,
            issuer=self.gateway.id,
            subject=keys.id,
            audience=self.gateway.id,
            now=utc_now(),
            lifetime_s=3600,
            extra=said,
        )
        return RoleHolder(node_id=keys.id, attestation=token, **said)

    def audited(self, name: str, action: str) -> list[AuditEntry]:
        """Rows of a node's audit log."""
        with self.nodes[name].node.database.read() as db:
            return list(db.exec(select(AuditEntry).where(AuditEntry.action == action)).all())

    def add(self, stack: ExitStack, folders: pytest.TempPathFactory, name: str) -> None:
        """Start a node and have it join."""
        settings = NodeSettings(
            data_dir=folders.mktemp(name) / "node",
            name=name,
            offer_party=True,
            password_memory_kib=1024,
            password_passes=1,
            plan_workers=1,
        )
        token = make(settings.data_dir)
        self.running[name] = stack.enter_context(ExitStack())
        self.nodes[name] = self.running[name].enter_context(serving(settings, token))
        body = {"token": token, "username": "bob", "password": PASSWORD}
        assert self.nodes[name].client.post("/v1/setup", json=body).status_code == 201
        self._join(name)

    def restart(self, name: str) -> None:
        """Stop a node and start it on the same folder."""
        self.running[name].close()
        self.nodes[name] = self.running[name].enter_context(serving(self.nodes[name].node.settings))

    def _join(self, name: str) -> None:
        node = self.nodes[name]
        with node.node.database.write() as db:
            db.add(
                Membership(
                    gateway_id=self.gateway.id,
                    gateway_name="grid",
                    gateway_url="http://grid.example",
                    sign_key=self.gateway.sign_key_text,
                    state=MembershipState.JOINED.value,
                    created_at=utc_now(),
                )
            )
        for user in ("dana@grid", "rita@grid"):
            body = {"username": user, "role": "data_scientist"}
            assert node.client.post("/v1/users", json=body, headers=node.as_("bob")).status_code == 201


@contextmanager
def serving(settings: NodeSettings, token: str = "") -> Iterator[NodeUnderTest]:
    """Run a node on its folder."""
    with TestClient(create_app(settings)) as client:
        yield NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
