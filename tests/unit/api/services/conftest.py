"""Data on the node that lasts for a module."""

import secrets
from typing import Any

import numpy as np
import pytest

from tests.support.asking import OPEN, WEIGHT, Said
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers

ROWS = 40


@pytest.fixture(scope="module")
def births(ward: NodeUnderTest) -> dict[str, Any]:
    """Forty births: ana may read them, every account may compute on them."""
    drawn = np.random.default_rng(0)
    arrays = {"weight": drawn.normal(3.4, 0.5, ROWS), "height": drawn.normal(50.0, 2.0, ROWS)}
    arrays["smoker"] = np.arange(ROWS) < 3
    access = {"discover": ["@signed-in"], "compute": ["@signed-in"], "raw": ["ana"]}
    return publish(ward, ward.as_("bob"), arrays, name="births", access=access)


@pytest.fixture
def few(ward: NodeUnderTest) -> Said:
    """Five births of bob's, too few for any aggregate by the rules; a dataset of its own for each test."""
    name = f"few-{secrets.token_hex(4)}"
    return publish(ward, ward.as_("bob"), {"weight": WEIGHT}, name=name, access=OPEN)


@pytest.fixture
def ana(ward: NodeUnderTest) -> Headers:
    return ward.as_("ana")


@pytest.fixture
def bob(ward: NodeUnderTest) -> Headers:
    return ward.as_("bob")
