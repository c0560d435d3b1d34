"""A node with a clock to move."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from gridward.server.settings import NodeSettings
from tests.support.gateways import MovingClock
from tests.support.nodes import NodeUnderTest, running_node


@pytest.fixture
def clock() -> MovingClock:
    clock = MovingClock()
    clock.now = datetime.now(UTC)
    return clock


@pytest.fixture
def node(settings: NodeSettings, clock: MovingClock) -> Iterator[NodeUnderTest]:
    """A node of bob's, with a clock to move."""
    with running_node(settings, clock) as under_test:
        yield under_test
