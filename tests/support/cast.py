"""Role holders whose keys a test has: a gateway, four nodes, and what the gateway attests of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gridward.api.parties.documents import check_roles
from gridward.client import attestation
from gridward.core.errors import DeploymentRefusedError
from gridward.core.schemas.deployments import DeploymentDocument, RoleHolder
from gridward.core.schemas.gateway import GatewayOut
from gridward.core.schemas.plan import PlanDocument
from gridward.server import keys, tokens
from gridward.server.keys import Keys

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NAMES = ("company", "hospital", "public", "university")


class Cast:
    """A gateway and four nodes with keys; ``holder`` attests any claims, as the gateway or as a forger."""

    def __init__(self, folder: Path) -> None:
        self.gateway = self._keys(folder / "gateway")
        self.nodes = {name: self._keys(folder / name) for name in NAMES}

    def _keys(self, folder: Path) -> Keys:
        keys.make(folder)
        return keys.load(folder)

    def holder(
        self, name: str, owner: str = "", *, signer: Keys | None = None, claim: Mapping[str, str] = {}
    ) -> RoleHolder:
        node = self.nodes[name]
        said = {
            "name": name,
            "url": f"http://{name}.example",
            "owner": owner or f"owner of {name}",
            "sign_key": node.sign_key_text,
            "seal_key": node.seal_key_text,
        }
        token = tokens.issue(
            tokens.Kind.ATTESTATION,
            (signer or self.gateway).sign_key,
            issuer=self.gateway.id,
            subject=claim.get("sub", node.id),
            audience=self.gateway.id,
            now=NOW,
            lifetime_s=3600,
            extra={**said, **{key: value for key, value in claim.items() if key != "sub"}},
        )
        return RoleHolder(node_id=node.id, attestation=token, **said)

    def document(self, **changed: RoleHolder) -> DeploymentDocument:
        roles = {name: changed.get(name, self.holder(name)) for name in NAMES}
        plan = {"kind": "inference", "name": "m", "inputs": [], "ops": []}
        return DeploymentDocument(
            id="d" * 32,
            model_id="m",
            plan=PlanDocument.model_validate(
                {**plan, "outputs": [{"name": "y", "role": "output", "ref": "x"}]}
            ),
            fraction_bits=16,
            width=32,
            levels=2,
            gateway_id=self.gateway.id,
            host=roles["company"],
            parties=[roles["hospital"], roles["public"]],
            crypto_provider=roles["university"],
            program_digest="0" * 64,
        )

    def check(self, document: DeploymentDocument, now: datetime = NOW) -> None:
        """Check as a role holder, and as an asker: both must agree."""
        public = GatewayOut(
            id=self.gateway.id, name="grid", version="0", sign_key=self.gateway.sign_key_text, owned=True
        )
        try:
            check_roles(document, self.gateway.sign_key.public_key(), now)
        except DeploymentRefusedError:
            if now == NOW:
                with pytest.raises(DeploymentRefusedError):
                    attestation.check_roles(document, public)
            raise
        attestation.check_roles(document, public)
