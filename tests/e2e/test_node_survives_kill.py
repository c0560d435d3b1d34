"""A node that is killed while files arrive, are published and deleted comes back whole."""

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from sqlalchemy import create_engine, text

from gridward.core.schemas.uploads import MediaType
from tests.support.files import safetensors
from tests.support.grids import PASSWORD, ServerProcess

pytestmark = pytest.mark.e2e
CHUNK = 64 * 1024


@contextmanager
def client_of(node: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=node.url, timeout=30, trust_env=False) as client:
        answer = client.post("/v1/sessions", json={"username": "bob", "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


def content_of(number: int) -> bytes:
    return safetensors({"x": np.random.default_rng(number).normal(size=40_000)})


def announce(client: httpx2.Client, content: bytes) -> str:
    body = {
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "media_type": MediaType.SAFETENSORS,
    }
    return str(client.post("/v1/uploads", json=body).raise_for_status().json()["id"])


def send_from(client: httpx2.Client, upload_id: str, content: bytes, start: int) -> None:
    for offset in range(start, len(content), CHUNK):
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
        chunk = content[offset : offset + CHUNK]
        client.patch(f"/v1/uploads/{upload_id}", content=chunk, headers=headers).raise_for_status()


def work(node: ServerProcess, confirmed: dict[str, str]) -> None:
    """Publish and delete until the node dies; notes what the node confirmed and did not delete since."""
    with client_of(node) as client:
        for number in range(10_000):
            content = content_of(number)
            upload_id = announce(client, content)
            send_from(client, upload_id, content, 0)
            name = f"set-{time.monotonic_ns()}"
            body = {"name": name, "upload_id": upload_id}
            made = client.post("/v1/datasets", json=body).raise_for_status().json()
            confirmed[made["id"]] = name
            if number % 3 == 2:
                del confirmed[made["id"]]
                client.delete(f"/v1/datasets/{made['id']}").raise_for_status()


def until_dead(node: ServerProcess, confirmed: dict[str, str]) -> None:
    try:
        work(node, confirmed)
    except httpx2.HTTPError:
        return


def rows(node: ServerProcess, query: str) -> list[Any]:
    engine = create_engine(f"sqlite:///{node.data_dir / 'gridward.db'}")
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
        found = [row[0] for row in connection.execute(text(query))]
    engine.dispose()
    return found


def files(node: ServerProcess) -> dict[str, Path]:
    paths = (node.data_dir / "blobs").rglob("*")
    return {path.name: path for path in paths if path.is_file()}


def check_whole(node: ServerProcess, confirmed: dict[str, str]) -> None:
    with client_of(node) as client:
        listed = client.get("/v1/datasets", params={"limit": 500}).raise_for_status().json()["items"]
    assert confirmed.items() <= {item["id"]: item["name"] for item in listed}.items()
    needed = set(rows(node, "SELECT blob FROM datasets"))
    on_disk = files(node)
    begun = set(rows(node, "SELECT id FROM uploads WHERE received_bytes > 0"))
    announced = set(rows(node, "SELECT id FROM uploads"))
    assert needed | begun <= set(on_disk) <= needed | announced
    for digest in needed:
        assert hashlib.sha256(on_disk[digest].read_bytes()).hexdigest() == digest


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    node = ServerProcess("node", "hospital", tmp_path_factory.mktemp("kill") / "hospital")
    token = node.init()
    node.start()
    setup = {"token": token, "username": "bob", "password": PASSWORD}
    httpx2.post(f"{node.url}/v1/setup", json=setup).raise_for_status()
    yield node
    node.kill()


def test_nothing_confirmed_is_lost_and_nothing_half_done_is_left(node: ServerProcess) -> None:
    confirmed: dict[str, str] = {}
    chance = random.Random(7)
    for _ in range(3):
        worker = threading.Thread(target=until_dead, args=(node, confirmed))
        worker.start()
        time.sleep(chance.uniform(0.4, 1.5))
        node.kill()
        worker.join()
        node.start()
        check_whole(node, confirmed)
    assert confirmed


def test_an_upload_goes_on_after_the_node_was_killed(node: ServerProcess) -> None:
    content = content_of(0)
    with client_of(node) as client:
        upload_id = announce(client, content)
        headers = {"Upload-Offset": "0", "Content-Type": "application/octet-stream"}
        path = f"/v1/uploads/{upload_id}"
        client.patch(path, content=content[:CHUNK], headers=headers).raise_for_status()
    node.kill()
    node.start()
    with client_of(node) as client:
        received = client.get(path).raise_for_status().json()["received_bytes"]
        assert received == CHUNK
        send_from(client, upload_id, content, received)
        body = {"name": "whole", "upload_id": upload_id}
        assert client.post("/v1/datasets", json=body).status_code == 201


def test_a_session_outlives_the_process(node: ServerProcess) -> None:
    with client_of(node) as client:
        node.kill()
        node.start()
        assert client.get("/v1/users/me").json()["username"] == "bob"
