"""The shell around every request: names, headers, limits, log lines, the OpenAPI document."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from gridward.core.errors import NotSignedInError
from gridward.server.accounts import Accounts
from gridward.server.app import build
from gridward.server.db import Database
from gridward.server.ids import utc_now
from gridward.server.keys import Keys
from gridward.server.logs import formatter
from gridward.server.pages.shell import Shell
from gridward.server.settings import NodeSettings
from gridward.server.signing import ReplayGuard
from gridward.server.state import RawBody, Server, WriteDb

router = APIRouter()


class Doorkeeper(Server):
    """Knows one token."""

    def vouch(self, token: str, most_bytes: int) -> int:
        if token != "x":
            raise NotSignedInError("the token is not valid here; sign in again")
        return most_bytes


@router.post("/echo")
def echo(body: RawBody) -> int:
    return len(body)


@router.get("/things/{thing}")
def get_thing(thing: str) -> str:
    raise RuntimeError(f"the secret of {thing}")


@router.post("/rows")
def write_then_fail(db: WriteDb) -> str:
    db.info["failing"] = True
    return "done"


@pytest.fixture
def app(keys: Keys, tmp_path: Path) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(f"sqlite:///{tmp_path / 'a.db'}")
        accounts: Any = object.__new__(Accounts)
        object.__setattr__(accounts, "settings", NodeSettings(data_dir=tmp_path))
        object.__setattr__(accounts, "keys", keys)
        app.state.server = Doorkeeper(
            keys=keys, database=database, accounts=accounts, replays=ReplayGuard(), clock=utc_now
        )
        yield
        database.close()

    return build(
        title="Test",
        description="",
        routers=[router],
        lifespan=lifespan,
        body_max_bytes=100_000,
        shell=Shell.make("node", "test", [], "gridward.api.pages"),
    )


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_every_answer_has_its_own_id_and_is_neither_cached_nor_framed(client: TestClient) -> None:
    answers = [client.get("/health"), client.get("/ready"), client.get("/nowhere"), client.get("/things/x")]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 500]
    ids = {answer.headers["x-request-id"] for answer in answers[:3]}
    assert len(ids) == 3
    for answer in answers[:3]:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answers[2].json()["instance"] == answers[2].headers["x-request-id"]


def test_a_bug_says_nothing_but_its_requests_id(client: TestClient) -> None:
    answer = client.get("/things/ward")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["instance"].startswith("req-")
    assert "secret" not in answer.text


def test_a_body_is_bounded_whether_or_not_it_announces_its_size(client: TestClient) -> None:
    signed = {"Authorization": "Bearer x"}

    def pieces(size: int) -> Iterator[bytes]:
        for _ in range(0, size, 1000):
            yield b"x" * 1000

    assert client.post("/echo", content=b"x" * 100_000, headers=signed).json() == 100_000
    assert client.post("/echo", content=pieces(100_000), headers=signed).json() == 100_000
    for content in (b"x" * 100_001, pieces(101_000)):
        answer = client.post("/echo", content=content, headers=signed)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_stranger_gets_little_room_for_a_body(client: TestClient) -> None:
    assert client.post("/echo", content=b"x" * 2**16).status_code == 200
    assert client.post("/echo", content=b"x" * (2**16 + 1)).status_code == 413


@pytest.mark.parametrize(
    ("token", "refusal"),
    [
        ("Bearer y", (401, "not_signed_in")),
        ("Bearer", (401, "not_signed_in")),
        ("Basic x", (413, "too_large")),
    ],
)
def test_a_token_that_proves_nothing_gets_no_more_room_than_none(
    client: TestClient, token: str, refusal: tuple[int, str]
) -> None:
    forged = {"Authorization": token}
    assert client.post("/echo", content=b"x" * 2**16, headers=forged).status_code == 200
    for content in (b"x" * 90_000, iter([b"x" * 1000] * 90)):
        answer = client.post("/echo", content=content, headers=forged)
        assert (answer.status_code, answer.json()["code"]) == refusal


def test_a_commit_that_fails_is_not_answered_with_success(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.orm import Session

    def fail(_session: Session) -> None:
        raise RuntimeError("disk full")

    assert client.post("/rows").status_code == 200
    monkeypatch.setattr("sqlalchemy.orm.session.SessionTransaction.commit", fail)
    assert client.post("/rows").status_code == 500


def test_a_log_line_names_the_route_and_never_the_thing(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gridward.access"):
        answer = client.get("/things/ada-lovelace?token=abc", headers={"Authorization": "Bearer hush"})
    lines = [
        formatter("json").format(record) for record in caplog.records if record.name == "gridward.access"
    ]
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert (line["route"], line["status"], line["method"]) == ("/things/{thing}", 500, "GET")
    assert answer.json()["instance"].startswith("req-")
    assert not [word for word in ("ada", "abc", "hush") if word in lines[0]]


def test_the_document_promises_problems_for_every_operation(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == 6
    for operation in operations:
        problem = operation["responses"]["4XX"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/Problem"}
        assert "422" not in operation["responses"]
    assert client.get("/docs").status_code == 404
