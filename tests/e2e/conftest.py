from collections.abc import Iterator

import pytest

from tests.support.grids import Grid, running_grid


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """One grid for the session. A test that kills a node starts it again and awaits it live."""
    with running_grid(tmp_path_factory.mktemp("grid")) as running:
        yield running
