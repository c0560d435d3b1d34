from dataclasses import replace

import pytest

from gridward.bench import reach
from gridward.bench.measure import Line, Options, Result
from gridward.bench.networks import Network
from gridward.bench.reach import GOALS, Goal

GOAL = Goal("MLP", "mlp", 1, 0.008, "somebody", 0.006, 0.003)


def spread(median: float) -> Line:
    return {"median": median, "min": median, "max": median, "runs": 1}


def measured(online_s: float, offline_s: float = 0.001, growth: float = 1.0) -> Line:
    return {
        "online_s": spread(online_s),
        "offline_s": spread(offline_s),
        "growth_over_live": growth,
        "dealer_bytes": 1_999_999,
        "online_bytes_per_party": 400_001,
        "max_abs_err": 0.0005,
    }


class Measuring:
    """Stands in for real measurements: the SDK takes 4 ms, the protocol 2 ms."""

    def __init__(self) -> None:
        self.asked: list[Options] = []

    def __call__(self, network: Network, named: Line, options: Options) -> Result:
        self.asked.append(options)
        bare: Line = {"protocol_s": spread(0.002), "load_s": spread(0.001)}
        told = bare if options.link == "sockets" else measured(0.004)
        return Result(named | {"batch": options.batch}, told)


def test_a_goal_is_compared_by_the_median_of_what_a_user_sees() -> None:
    measuring = Measuring()
    result = reach.measure_goal(GOAL, Options(link="ws", parties=5), measuring)
    assert [(one.link, one.parties) for one in measuring.asked] == [("ws", 2), ("sockets", 2)]
    told = result.measured
    assert told["times_faster"] == pytest.approx(2.0)
    assert told["protocol_times_faster"] == pytest.approx(4.0)
    assert (told["reach_met"], told["stretch_met"]) == (True, False)
    assert told["best_known_of"] == "somebody: quoted, not run here"
    assert set(result.brief) <= result.case.keys() | told.keys()


def test_a_goal_that_is_missed_by_little_is_missed() -> None:
    result = reach.measure_goal(replace(GOAL, reach_s=0.0039), Options(link="ws"), Measuring())
    assert result.measured["reach_met"] is False


def test_further_limits_are_those_of_lenet_and_of_all() -> None:
    lenet = replace(GOAL, model="lenet")
    told = reach.limits(lenet, measured(0.01, offline_s=0.031, growth=3.1))
    assert told == {
        "offline_over_online": pytest.approx(3.1),
        "offline_met": False,
        "memory_met": False,
        "dealer_bytes_met": True,
        "online_bytes_met": False,
        "error_met": True,
    }
    assert "dealer_bytes_met" not in reach.limits(GOAL, measured(0.01))


def test_every_goal_can_be_made_and_stretch_is_harder_than_reach() -> None:
    assert all(0 < goal.stretch_s < goal.reach_s < 1 for goal in GOALS)
    made = {reach.network_of_goal(goal).plan.name for goal in GOALS if goal.model in ("mlp", "relu")}
    assert made == {"mlp", "relu"}
