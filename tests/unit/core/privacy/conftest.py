"""A fresh pen for each test."""

import pytest

from tests.support.sketches import Sketch


@pytest.fixture
def sketch() -> Sketch:
    return Sketch()
