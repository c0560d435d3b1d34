"""The streaming mean equals the mean of all, and bad updates do not enter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gridward.core.errors import TrainingError
from gridward.core.federation.aggregate import Update, WeightedMean

LIKE = {"w": np.zeros((2, 3), np.float32), "seen": np.zeros((), np.int64)}
VALUES = arrays(np.float32, (2, 3), elements=st.floats(-1e6, 1e6, width=32))


def update(w: object, seen: int = 0, rows: int = 1, node: str = "a") -> Update:
    return Update(node, rows, {"w": np.asarray(w), "seen": np.asarray(seen, np.int64)})


@given(st.lists(st.tuples(VALUES, st.integers(1, 10**6)), min_size=1, max_size=6))
def test_folding_one_by_one_equals_the_weighted_mean(
    parts: list[tuple[np.ndarray, int]],
) -> None:
    mean = WeightedMean(LIKE)
    for at, (w, rows) in enumerate(parts):
        mean.fold(update(w, seen=at, rows=rows))
    result = mean.result()
    stacked = np.stack([w.astype(np.float64) for w, _ in parts])
    wanted = np.average(stacked, axis=0, weights=[rows for _, rows in parts])
    np.testing.assert_allclose(result["w"], wanted, rtol=1e-6, atol=1e-3)
    assert result["w"].dtype == np.float32
    assert result["seen"] == len(parts) - 1


def test_the_model_that_was_sent_is_not_changed() -> None:
    mean = WeightedMean(LIKE)
    mean.fold(update(np.ones((2, 3), np.float32), seen=7))
    assert LIKE["seen"] == 0


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (update(np.ones((3, 2), np.float32)), "w as"),
        (update(np.ones((2, 3), np.float64)), "w as"),
        (update(np.full((2, 3), np.nan, np.float32)), "not finite"),
        (update(np.full((2, 3), np.inf, np.float32)), "not finite"),
        (update(np.ones((2, 3), np.float32), rows=0), "0 rows"),
        (Update("a", 1, {"w": np.ones((2, 3), np.float32)}), "seen"),
    ],
)
def test_an_update_that_does_not_fit_is_refused_by_name_and_leaves_no_trace(bad: Update, word: str) -> None:
    mean = WeightedMean(LIKE)
    mean.fold(update(np.ones((2, 3), np.float32)))
    with pytest.raises(TrainingError, match=word) as refusal:
        mean.fold(bad)
    assert refusal.value.detail.startswith("a ")
    assert np.array_equal(mean.result()["w"], np.ones((2, 3)))


def test_a_round_without_updates_has_no_result() -> None:
    with pytest.raises(TrainingError):
        WeightedMean(LIKE).result()
