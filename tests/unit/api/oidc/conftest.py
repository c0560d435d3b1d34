"""A real provider for a module, and nodes that trust it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gridward.server.settings import NodeSettings
from tests.support.nodes import NodeUnderTest, running_node
from tests.support.oidc import (
    CLIENT,
    SECRET,
    ProviderUnderTest,
    running_provider,
)
from tests.support.oidc_visits import Made


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderUnderTest]:
    with running_provider() as running:
        yield running


@pytest.fixture
def provider(server: ProviderUnderTest) -> Iterator[ProviderUnderTest]:
    kept = server.key
    yield server
    server.lie, server.sign, server.down, server.key = (lambda claims: claims), None, False, kept


@pytest.fixture
def node_with(provider: ProviderUnderTest, tmp_path: Path) -> Iterator[Made]:
    """Start a node of bob's that trusts the provider, with further settings."""

    def start(**changed: Any) -> NodeUnderTest:
        secret = tmp_path / "oidc-secret"
        secret.write_text(SECRET + "\n")
        wanted = {
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret_file": secret,
            "public_url": "http://testserver",
        }
        settings = NodeSettings(
            data_dir=tmp_path / "node", password_memory_kib=1024, password_passes=1, **(wanted | changed)
        )
        node = opened.enter_context(running_node(settings))
        node.client.follow_redirects = False
        return node

    with ExitStack() as opened:
        yield start


@pytest.fixture
def node(node_with: Made) -> NodeUnderTest:
    return node_with()
