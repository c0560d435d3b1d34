"""A place that records what is sent, for what the SDK decides by itself; a real node for the rest."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

import gridward as gw
from gridward.api.main import create_app
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.nodes import PASSWORD
from tests.support.places import RecordingPlace


@pytest.fixture
def hospital() -> RecordingPlace:
    return RecordingPlace("hospital")


@pytest.fixture
def clinic() -> RecordingPlace:
    return RecordingPlace("clinic")


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gw.NodeClient]:
    """The owner of a real node in this process, signed in."""
    settings = NodeSettings(
        data_dir=tmp_path_factory.mktemp("node") / "data",
        name="hospital",
        password_memory_kib=1024,
        password_passes=1,
        upload_chunk_bytes=4096,
        plan_workers=1,
    )
    token = make(settings.data_dir)
    with TestClient(create_app(settings), base_url="http://node.test") as http:
        gw.setup_owner("http://node.test", token, "bob", PASSWORD, http=http)
        yield gw.connect("http://node.test", "bob", PASSWORD, http=http)
