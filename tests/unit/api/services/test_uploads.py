"""Uploads: resumable, exact, bounded, private."""

import hashlib
import io
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from gridward.api.main import create_app
from gridward.api.services import uploads
from gridward.core.schemas.uploads import MediaType
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.files import npy, send_chunk, upload
from tests.support.nodes import PASSWORD, NodeUnderTest

CONTENT = npy(np.arange(1000.0))


def announce(node: NodeUnderTest, headers: dict[str, str], content: bytes = CONTENT, **changed: Any) -> Any:
    body = {
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "media_type": "application/x-npy",
    }
    return node.client.post("/v1/uploads", json=body | changed, headers=headers)


def get(node: NodeUnderTest, headers: dict[str, str], upload_id: str) -> Any:
    return node.client.get(f"/v1/uploads/{upload_id}", headers=headers)


def parts(node: NodeUnderTest) -> list[str]:
    return [path.name for path in (node.node.settings.data_dir / "blobs" / "incoming").iterdir()]


def test_an_upload_is_resumed_where_it_stood(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    upload_id = announce(node, bob).json()["id"]
    assert send_chunk(node, bob, upload_id, 0, CONTENT[:3000]).json()["received_bytes"] == 3000
    for offset in (0, 2999, 3001):
        refused = send_chunk(node, bob, upload_id, offset, CONTENT[offset : offset + 10])
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert "3000" in refused.json()["detail"]
    assert get(node, bob, upload_id).json()["received_bytes"] == 3000
    done = send_chunk(node, bob, upload_id, 3000, CONTENT[3000:]).json()
    assert (done["complete"], done["received_bytes"]) == (True, len(CONTENT))
    assert node.node.blobs.part(upload_id).read_bytes() == CONTENT
    assert send_chunk(node, bob, upload_id, len(CONTENT), b"x").json()["code"] == "conflict"


def test_bytes_that_a_crash_wrote_but_did_not_count_are_replaced(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    upload_id = announce(node, bob).json()["id"]
    send_chunk(node, bob, upload_id, 0, CONTENT[:100])
    with node.node.blobs.part(upload_id).open("ab") as file:
        file.write(b"uncounted bytes of a chunk that was never confirmed")
    assert send_chunk(node, bob, upload_id, 100, CONTENT[100:]).json()["complete"] is True


def test_bytes_that_are_not_what_was_announced_are_refused_and_gone(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    upload_id = announce(node, bob).json()["id"]
    refused = send_chunk(node, bob, upload_id, 0, CONTENT[:-1] + b"\x00")
    assert (refused.status_code, refused.json()["code"]) == (422, "upload_refused")
    assert get(node, bob, upload_id).status_code == 404
    assert parts(node) == []


def test_more_bytes_than_announced_are_refused_before_they_are_stored(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    upload_id = announce(node, bob).json()["id"]
    assert send_chunk(node, bob, upload_id, 0, CONTENT + b"x").json()["code"] == "too_large"
    assert parts(node) == []


def test_who_may_neither_publish_nor_host_may_not_send(node: NodeUnderTest) -> None:
    refused = announce(node, node.as_("gus", "guest"))
    assert (refused.status_code, refused.json()["code"]) == (403, "send_not_permitted")


def test_anothers_upload_and_a_missing_one_are_the_same_to_a_stranger(node: NodeUnderTest) -> None:
    upload_id = announce(node, node.as_("ana")).json()["id"]
    for headers in (node.as_("eve"), node.as_("bob")):
        for name in (upload_id, "upl-0", "../keys/signing"):
            assert get(node, headers, name).json().get("code") == "object_not_found"
            assert send_chunk(node, headers, name, 0, b"x").json()["code"] == "object_not_found"
            assert node.client.delete(f"/v1/uploads/{name}", headers=headers).status_code in (404, 405)


def test_content_that_the_node_holds_already_gets_the_same_answers(node: NodeUnderTest) -> None:
    first = announce(node, node.as_("ana"))
    upload(node, node.as_("ana"), CONTENT, MediaType.NUMPY)
    second = announce(node, node.as_("eve"))
    blank = {"id": ""}
    assert first.json() | blank == second.json() | blank
    assert second.json()["received_bytes"] == 0


def test_an_upload_can_be_given_up(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    upload_id = announce(node, bob).json()["id"]
    send_chunk(node, bob, upload_id, 0, CONTENT[:10])
    assert node.client.delete(f"/v1/uploads/{upload_id}", headers=bob).status_code == 204
    assert get(node, bob, upload_id).status_code == 404
    assert parts(node) == []


class TestLimits:
    @pytest.fixture
    def settings(self, settings: NodeSettings) -> NodeSettings:
        return settings.model_copy(
            update={
                "upload_max_bytes": 10_000,
                "upload_quota_bytes": 15_000,
                "upload_total_bytes": 25_000,
                "upload_chunk_bytes": 1024,
                "uploads_open": 3,
            }
        )

    def test_sizes_and_quotas_are_checked_when_announced(self, node: NodeUnderTest) -> None:
        ana, bob = node.as_("ana"), node.as_("bob")
        assert announce(node, bob, size_bytes=10_001).json()["code"] == "too_large"
        assert announce(node, bob, size_bytes=10_000).status_code == 201
        assert "quota" in announce(node, bob, size_bytes=5_001).json()["detail"]
        assert announce(node, bob, size_bytes=5_000).status_code == 201
        assert announce(node, ana, size_bytes=10_000).status_code == 201
        assert "storage" in announce(node, ana, size_bytes=1).json()["detail"]
        assert parts(node) == []

    def test_open_uploads_are_counted(self, node: NodeUnderTest) -> None:
        bob = node.as_("bob")
        answers = [announce(node, bob, size_bytes=1).status_code for _ in range(4)]
        assert answers == [201, 201, 201, 409]

    def test_a_chunk_is_bounded(self, node: NodeUnderTest) -> None:
        bob = node.as_("bob")
        said = announce(node, bob).json()
        assert said["chunk_bytes"] == 1024
        assert send_chunk(node, bob, said["id"], 0, CONTENT[:1025]).json()["code"] == "too_large"
        assert send_chunk(node, bob, said["id"], 0, CONTENT[:1024]).status_code == 200


def test_an_upload_that_rests_too_long_is_dropped(settings: NodeSettings) -> None:
    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    token = make(settings.data_dir)
    long_lived = settings.model_copy(update={"access_token_s": 10**6})
    with TestClient(create_app(long_lived, clock=lambda: now[0])) as client:
        node = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        body = {"token": token, "username": "bob", "password": PASSWORD}
        client.post("/v1/setup", json=body)
        upload_id = announce(node, node.as_("bob")).json()["id"]
        send_chunk(node, node.as_("bob"), upload_id, 0, CONTENT[:10])
        now[0] += timedelta(seconds=settings.upload_expiry_s - 1)
        uploads.expire(node.node)
        assert get(node, node.as_("bob"), upload_id).status_code == 200
        now[0] += timedelta(seconds=2)
        uploads.expire(node.node)
        assert get(node, node.as_("bob"), upload_id).status_code == 404
        assert parts(node) == []


class Payload:
    """What a pickle would run if anybody loaded it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


def torch_bytes() -> bytes:
    file = io.BytesIO()
    torch.save({"w": torch.ones(3)}, file)
    return file.getvalue()


def object_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("media_type", MediaType)
@pytest.mark.parametrize(
    "content",
    [pickle.dumps(Payload()), torch_bytes(), object_array(), b"\x00" * 64, b"\xff" * 64, b"PK\x03\x04"],
    ids=["pickle", "torch.save", "object array", "zeros", "ones", "zip"],
)
def test_a_file_that_is_not_what_it_claims_is_refused_and_nothing_is_unpickled(
    node: NodeUnderTest, content: bytes, media_type: MediaType
) -> None:
    bob = node.as_("bob")
    upload_id = upload(node, bob, content, media_type)
    body = {"name": "evil", "upload_id": upload_id}
    refused = node.client.post("/v1/datasets", json=body, headers=bob)
    assert (refused.status_code, refused.json()["code"]) == (422, "upload_refused")
    assert node.client.get("/v1/datasets", headers=bob).json()["total"] == 0
