"""Keys and settings of a server that is not running."""

from pathlib import Path

import pytest

from gridward.server.keys import Keys, load, make


def new_keys(folder: Path) -> Keys:
    make(folder)
    return load(folder)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return new_keys(tmp_path / "own")


@pytest.fixture
def other_keys(tmp_path: Path) -> Keys:
    return new_keys(tmp_path / "other")
