"""Data on the node that lasts for a module."""

import secrets
from typing import Any

import numpy as np
import pytest

from tests.support import trainings
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


@pytest.fixture(scope="module")
def digits(ward: NodeUnderTest) -> trainings.Dataset:
    """Three clouds of points; tess may train and take away, tom may train only."""
    drawn = np.random.default_rng(5)
    labels = np.arange(trainings.ROWS) % 3
    points = drawn.normal(0, 0.3, (trainings.ROWS, 4)) + np.eye(4)[labels] * 2
    arrays = {"points": points.astype(np.float32), "labels": labels}
    access = {"discover": ["@signed-in"], "train": ["tess", "tom"], "export_model": ["tess"]}
    return publish(ward, ward.as_("bob"), arrays, name="digits", access=access, disclosure=trainings.LARGE)
