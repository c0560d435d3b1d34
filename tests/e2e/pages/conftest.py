"""One browser, and one node that nobody owns, for each module."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser

from tests.support.browsers import running_browser
from tests.support.grids import ServerProcess


@dataclass
class Fresh:
    """A node's process, and the token that makes its owner."""

    server: ServerProcess
    token: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    server = ServerProcess("node", "clinic", tmp_path_factory.mktemp("clinic") / "data")
    token = server.init()
    server.start()
    yield Fresh(server, token)
    server.stop()
