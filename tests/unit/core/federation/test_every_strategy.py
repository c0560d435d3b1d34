"""Every strategy against Flower's on the same updates, its paper's formula, and itself resumed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.errors import TrainingError
from gridward.core.federation.aggregate import Array, Parameters, Update
from gridward.core.federation.robust import FedMedian, Krum, TrimmedMean
from gridward.core.federation.scaffold import Scaffold
from gridward.core.federation.server_optimizers import FedAdagrad, FedAdam, FedAvgM, FedYogi
from gridward.core.federation.strategies import FedAvg, FedProx, LocalRule, Strategy, mean_suffices

FLOWER = json.loads((Path(__file__).parents[3] / "vectors" / "flower.json").read_text())
SAME_AS_FLOWER: dict[str, Callable[[], Strategy]] = {
    "FedAvg": FedAvg,
    "FedAvgM": lambda: FedAvgM(learning_rate=0.7, momentum=0.9),
    "FedAdam": lambda: FedAdam(learning_rate=0.1, tau=1e-3),
    "FedYogi": lambda: FedYogi(learning_rate=0.01, tau=1e-3),
    "FedAdagrad": lambda: FedAdagrad(learning_rate=0.1, tau=1e-3),
    "FedMedian": FedMedian,
    "TrimmedMean": lambda: TrimmedMean(trimmed=0.2),
    "Krum": lambda: Krum(wrong=2),
    "MultiKrum": lambda: Krum(wrong=1, kept=3),
}
EVERY: dict[str, Callable[[], Strategy]] = SAME_AS_FLOWER | {"FedProx": FedProx, "Scaffold": Scaffold}


def named(values: list[Any]) -> dict[str, Array]:
    return {f"p{at}": np.asarray(value, np.float32) for at, value in enumerate(values)}


def updates_of(number: int, now: Parameters, moves: list[list[Any]], rows: list[int]) -> list[Update]:
    return [
        Update(f"n{at}", rows[at], {name: now[name] + move for name, move in named(one).items()}, number + 2)
        for at, one in enumerate(moves)
    ]


def play(strategy: Strategy, start: Parameters, rounds: list[list[list[Any]]]) -> list[Parameters]:
    now, seen = start, []
    for number, moves in enumerate(rounds):
        strategy.configure_round(number, [f"n{at}" for at in range(len(moves))])
        now = strategy.aggregate(number, now, iter(updates_of(number, now, moves, FLOWER["rows"])))
        seen.append(now)
    return seen


@pytest.mark.parametrize("name", SAME_AS_FLOWER)
def test_the_same_updates_give_what_flower_makes_of_them(name: str) -> None:
    made = play(SAME_AS_FLOWER[name](), named(FLOWER["start"]), FLOWER["moves"])
    for ours, theirs in zip(made, FLOWER["rounds"][name], strict=True):
        for key, value in named(theirs).items():
            assert ours[key].dtype == np.float32
            np.testing.assert_allclose(ours[key], value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_a_strategy_that_is_resumed_goes_on_as_if_it_had_not_stopped(name: str) -> None:
    whole = play(EVERY[name](), named(FLOWER["start"]), FLOWER["moves"])
    first, second = EVERY[name](), EVERY[name]()
    half = play(first, named(FLOWER["start"]), FLOWER["moves"][:2])
    second.load_state_dict(first.state_dict())
    for number, moves in enumerate(FLOWER["moves"][2:], start=2):
        second.configure_round(number, [f"n{at}" for at in range(len(moves))])
        half.append(second.aggregate(number, half[-1], updates_of(number, half[-1], moves, FLOWER["rows"])))
    for ours, again in zip(whole, half, strict=True):
        assert all(np.array_equal(ours[key], again[key]) for key in ours)


@pytest.mark.parametrize("name", EVERY)
def test_counts_are_not_averaged_but_the_largest_of_those_that_count(name: str) -> None:
    start = {"w": np.zeros(2, np.float32), "seen": np.array(3)}
    updates = [Update(f"n{k}", 5, {"w": np.full(2, k, np.float32), "seen": np.array(k)}) for k in range(7)]
    strategy = EVERY[name]()
    strategy.configure_round(0, [update.node for update in updates])
    made = strategy.aggregate(0, start, updates)
    largest = {"Krum": 3, "MultiKrum": 4}.get(name, 6)  # of the nodes in the middle, which it chooses
    assert (int(made["seen"]), made["seen"].dtype) == (largest, start["seen"].dtype)
    assert made["w"].dtype == np.float32


@pytest.mark.parametrize("name", EVERY)
def test_an_update_that_is_not_finite_is_refused_by_its_nodes_name(name: str) -> None:
    start = {"w": np.zeros(2)}
    updates = [Update(f"n{k}", 5, {"w": np.ones(2)}) for k in range(7)]
    updates.append(Update("sick", 5, {"w": np.array([1.0, np.nan])}))
    strategy = EVERY[name]()
    strategy.configure_round(0, [update.node for update in updates])
    with pytest.raises(TrainingError, match="sick"):
        strategy.aggregate(0, start, updates)
    with pytest.raises(TrainingError, match="no node"):
        EVERY[name]().aggregate(0, start, [])


def test_fedprox_averages_and_holds_every_local_step_back() -> None:
    assert FedProx(mu=0.3).local == LocalRule(proximal=0.3)
    assert FedAvg().local == LocalRule()


real = st.floats(-10, 10, width=32)


@given(st.lists(st.lists(real, min_size=7, max_size=7), min_size=1, max_size=4), real)
def test_median_and_trimmed_mean_lie_within_what_right_nodes_sent(
    rounds: list[list[float]], lie: float
) -> None:
    for values in rounds:
        right = np.array(values[:5])
        sent = [*values[:5], 1e9 * (1 if lie > 0 else -1), lie * 1e6]
        updates = [Update(f"n{at}", 1, {"w": np.array([value])}) for at, value in enumerate(sent)]
        for strategy in (FedMedian(), TrimmedMean(trimmed=0.3)):
            (got,) = strategy.aggregate(0, {"w": np.zeros(1)}, updates)["w"]
            assert right.min() - 1e-9 <= got <= right.max() + 1e-9


def test_krum_chooses_among_those_that_agree() -> None:
    rng = np.random.default_rng(3)
    right = [rng.normal(5, 0.1, 4) for _ in range(5)]
    wrong = [np.full(4, -100.0), np.full(4, 100.0)]
    updates = [Update(f"n{at}", 1, {"w": value}) for at, value in enumerate([*right, *wrong])]
    start = {"w": np.zeros(4)}
    one = Krum(wrong=2).aggregate(0, start, updates)["w"]
    assert any(np.array_equal(one, value) for value in right)
    assert np.abs(Krum(wrong=2, kept=4).aggregate(0, start, updates)["w"] - 5).max() < 0.3
    with pytest.raises(TrainingError, match="at least 7"):
        Krum(wrong=2).aggregate(0, start, updates[:6])


def test_scaffold_is_its_papers_algorithm() -> None:
    rng = np.random.default_rng(11)
    nodes, rate, steps = ["a", "b", "c"], 0.05, 4
    targets = {node: rng.normal(size=3) for node in nodes}
    strategy = Scaffold(local_rate=rate, learning_rate=0.8)
    ours = {"w": np.zeros(3)}
    x, c, own = np.zeros(3), np.zeros(3), {node: np.zeros(3) for node in nodes}
    for number in range(6):
        taking = nodes if number % 2 == 0 else nodes[:2]
        plan = strategy.configure_round(number, nodes)
        updates, theirs, changes = [], [], []
        for node in taking:
            y, w = x.copy(), ours["w"].copy()
            control = plan.controls[node].get("w", np.zeros(3))
            for _ in range(steps):
                y = y - rate * ((y - targets[node]) - own[node] + c)
                w = w - rate * ((w - targets[node]) + control)
            fresh = own[node] - c + (x - y) / (steps * rate)
            changes.append(fresh - own[node])
            own[node] = fresh
            theirs.append(y)
            updates.append(Update(node, 10, {"w": w}, steps))
        ours = strategy.aggregate(number, ours, updates)
        x = x + 0.8 * np.mean([y - x for y in theirs], axis=0)
        c = c + np.sum(changes, axis=0) / len(nodes)
        np.testing.assert_allclose(ours["w"], x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FedProx(mu=-1),
        lambda: FedAvgM(momentum=1),
        lambda: FedAdam(tau=0),
        lambda: FedYogi(beta2=1),
        lambda: FedAdagrad(learning_rate=0),
        lambda: TrimmedMean(trimmed=0.5),
        lambda: Krum(wrong=-1),
        lambda: Krum(kept=0),
        lambda: Scaffold(local_rate=0),
        lambda: FedMedian(min_nodes=0),
    ],
)
def test_settings_without_meaning_are_refused(make: Callable[[], Strategy]) -> None:
    with pytest.raises(ValueError, match="at least"):
        make()


MEANS = ("FedAvg", "FedProx", "FedAvgM", "FedAdam", "FedYogi", "FedAdagrad")


def test_which_strategies_do_with_the_mean_alone() -> None:
    assert {name for name, make in EVERY.items() if mean_suffices(make())} == set(MEANS)
    assert not mean_suffices(Silent())  # type: ignore[arg-type]


class Silent:
    """A strategy that does not say what it needs."""


@pytest.mark.parametrize("name", MEANS)
def test_the_mean_as_one_update_gives_what_all_updates_give(name: str) -> None:
    apart, together = EVERY[name](), EVERY[name]()
    now = named(FLOWER["start"])
    for number, moves in enumerate(FLOWER["moves"]):
        updates = updates_of(number, now, moves, FLOWER["rows"])
        mean = FedAvg().aggregate(number, now, updates)
        joint = Update("the sum", sum(one.rows for one in updates), mean, sum(one.steps for one in updates))
        after = apart.aggregate(number, now, updates)
        for key, value in together.aggregate(number, now, [joint]).items():
            # adaptive rules divide by tau = 1e-3 at least what float32 rounds of the mean
            np.testing.assert_allclose(value, after[key], rtol=1e-4, atol=1e-5)
        now = after


STEPPING: list[Callable[[], Strategy]] = [
    FedAvgM,
    FedAdam,
    FedYogi,
    FedAdagrad,
    lambda: Scaffold(local_rate=0.1, learning_rate=2.0),
]


@pytest.mark.parametrize("make", STEPPING)
def test_statistics_follow_the_mean_and_no_server_side_step(make: Callable[[], Strategy]) -> None:
    strategy, now = make(), {"w": np.array([1.0]), "var": np.array([0.3])}
    for number in range(12):
        sent = {"w": now["w"] - 0.1, "var": np.array([0.01])}
        updates = [Update(f"n{k}", 5, sent, statistics=frozenset({"var"})) for k in range(3)]
        now = strategy.aggregate(number, now, updates)
        assert now["var"] == pytest.approx([0.01])
