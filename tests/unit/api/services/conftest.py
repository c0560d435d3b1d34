"""Data on the node that lasts for a module."""

from typing import Any

import numpy as np
import pytest

from tests.support.files import publish
from tests.support.nodes import NodeUnderTest

ROWS = 40


@pytest.fixture(scope="module")
def births(ward: NodeUnderTest) -> dict[str, Any]:
    """Forty births: ana may read them, every account may compute on them."""
    drawn = np.random.default_rng(0)
    arrays = {"weight": drawn.normal(3.4, 0.5, ROWS), "height": drawn.normal(50.0, 2.0, ROWS)}
    arrays["smoker"] = np.arange(ROWS) < 3
    access = {"discover": ["@signed-in"], "compute": ["@signed-in"], "raw": ["ana"]}
    return publish(ward, ward.as_("bob"), arrays, name="births", access=access)
