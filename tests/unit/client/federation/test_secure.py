from typing import Any

import numpy as np
import pytest

import gridward as gw
from gridward.client.federation.secure import _moved, gathering_of
from tests.support.places import RecordingPlace


@pytest.mark.parametrize("strategy", [gw.Krum(), gw.FedMedian(), gw.TrimmedMean(), gw.Scaffold()])
def test_rules_that_need_single_updates_are_refused_before_anything_is_sent(strategy: gw.Strategy) -> None:
    place = RecordingPlace("north")
    with pytest.raises(gw.InvalidInputError, match=r"each node's update.*FedAvg"):
        gathering_of([place.dataset()], strategy, True)
    assert place.requests == []


def test_nodes_that_no_gateway_vouches_for_add_up_nothing() -> None:
    places = [RecordingPlace("north"), RecordingPlace("south")]
    with pytest.raises(gw.InvalidInputError, match="without a gateway"):
        gathering_of([place.dataset() for place in places], gw.FedAvg(), gw.Secure(clip=1.0))
    assert gathering_of([place.dataset() for place in places], gw.Krum(), False) is None


def test_reals_move_by_the_mean_and_counts_by_the_mean_rounded() -> None:
    moved = _moved(np.array([1.5, -1.0], np.float32), np.array([0.25, 1e-9]))
    assert (moved.dtype, moved.tolist()) == (np.float32, [1.75, -1.0])
    counts = _moved(np.array([7, 7], np.int32), np.array([2.4999, -1.6]))
    assert (counts.dtype, counts.tolist()) == (np.int32, [9, 5])


@pytest.mark.parametrize(
    "options",
    [{"clip": 0.0}, {"clip": float("nan")}, {"quorum": 1}, {"aggregators": ["north"]}, {"aggregators": "ab"}],
)
def test_options_that_protect_nobody_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(gw.InvalidInputError):
        gw.Secure(**options)
