"""Both services keep their OpenAPI documents, whoever asks and whatever they send: no 5xx, no surprise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import ASGIApp, Receive, Scope, Send

from gridward.api.main import create_app as create_node
from gridward.gateway.main import create_app as create_gateway
from gridward.server.keys import make
from gridward.server.settings import GatewaySettings, NodeSettings
from tests.support.files import publish
from tests.support.nodes import PASSWORD, NodeUnderTest

pytestmark = pytest.mark.slow
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
QUICK: Final[dict[str, Any]] = {
    "password_memory_kib": 1024,
    "password_passes": 1,
    "sign_in_attempts": 10**6,
    "sign_in_attempts_global": 10**6,
}
# For the owner this calls whatever address the body names; others are refused before.
CALLS_OUT: Final = {"owner": {"join_gateway"}}
EXAMPLES: Final = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
)


def running(app: FastAPI) -> ASGIApp:
    """Return the app for someone who would start it again with every request."""

    async def requests_only(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})

    return requests_only


@contextmanager
def node_app(folder: Path) -> Iterator[FastAPI]:
    token = make(folder)
    app = create_node(NodeSettings(data_dir=folder, **QUICK))
    with TestClient(app) as client:
        own(client, token)
        node = NodeUnderTest(client, app.state.server, token)
        rows = {"x": np.arange(12.0)}
        publish(node, bearer(client, "owner"), rows, name="open", access={"discover": ["@signed-in"]})
        yield app


@contextmanager
def gateway_app(folder: Path) -> Iterator[FastAPI]:
    token = make(folder)
    app = create_gateway(GatewaySettings(data_dir=folder, **QUICK))
    with TestClient(app) as client:
        own(client, token)
        yield app


def own(client: TestClient, token: str) -> None:
    who = {"username": "owner", "password": PASSWORD}
    assert client.post("/v1/setup", json=who | {"token": token}).status_code == 201
    ana = {"username": "scientist", "role": "data_scientist", "password": PASSWORD}
    assert client.post("/v1/users", json=ana, headers=bearer(client, "owner")).status_code == 201


def bearer(client: TestClient, username: str) -> dict[str, str]:
    answer = client.post("/v1/sessions", json={"username": username, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


SERVICES: Final[dict[str, Callable[[Path], Any]]] = {"node": node_app, "gateway": gateway_app}


@pytest.mark.parametrize("caller", ["anonymous", "scientist", "owner"])
@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_keeps_its_contract(service: str, caller: str, tmp_path: Path) -> None:
    with SERVICES[service](tmp_path / service) as app:
        headers = {} if caller == "anonymous" else bearer(TestClient(app), caller)
        schema = schemathesis.openapi.from_asgi("/openapi.json", running(app))
        tried = 0
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.definition.raw["operationId"] in CALLS_OUT.get(caller, set()):
                continue
            tried += 1

            @EXAMPLES
            @given(case=operation.as_strategy())
            def keeps_its_contract(case: schemathesis.Case) -> None:
                response = case.call(headers=headers)
                case.validate_response(response, checks=CHECKS)

            keeps_its_contract()
        assert tried > 15
