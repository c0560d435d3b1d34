"""FedAvg behind the seam."""

import numpy as np
import pytest

from gridward.core.federation.aggregate import Update
from gridward.core.federation.strategies import FedAvg, Strategy


def test_fedavg_weights_by_rows_and_takes_updates_as_a_stream() -> None:
    start = {"w": np.zeros(2)}
    strategy: Strategy = FedAvg()
    stream = (Update(f"n{k}", rows, {"w": np.full(2, float(k))}) for k, rows in enumerate((1, 3)))
    assert strategy.aggregate(0, start, stream)["w"].tolist() == [0.75, 0.75]


def test_every_reachable_node_takes_part_and_the_quorum_is_kept() -> None:
    plan = FedAvg(min_nodes=2).configure_round(0, ["a", "b", "c"])
    assert (plan.nodes, plan.quorum) == (("a", "b", "c"), 2)


def test_a_strategy_continues_from_its_state() -> None:
    other = FedAvg(min_nodes=3)
    other.load_state_dict(FedAvg(min_nodes=3).state_dict())
    assert other == FedAvg(min_nodes=3)


def test_a_quorum_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FedAvg(min_nodes=0)
