"""Every tutorial runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.ipynb"))

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_there_is_a_tutorial_for_each_story() -> None:
    assert [path.stem[0] for path in TUTORIALS] == ["1", "2", "3"]


@pytest.mark.filterwarnings("default")  # Jupyter's machinery has warnings of its own
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_the_tutorial_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
