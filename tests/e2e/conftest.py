from collections.abc import Iterator

import pytest

from tests.support.grids import Grid, running_grid


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """One grid for each module, since whom owners admit stays. Who kills a node starts it again."""
    with running_grid(tmp_path_factory.mktemp("grid")) as running:
        yield running
