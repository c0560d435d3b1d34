import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.errors import TooManyAttemptsError
from gridward.server.rate_limit import _MOST_KEYS, RateLimit


class Watch:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def test_attempts_run_out_and_come_back_one_by_one() -> None:
    watch = Watch()
    limit = RateLimit(3, 30, watch)
    for _ in range(3):
        limit.take("ana")
    with pytest.raises(TooManyAttemptsError) as refused:
        limit.take("ana")
    assert refused.value.retry_after_s == pytest.approx(10)
    watch.s += 9.9
    with pytest.raises(TooManyAttemptsError):
        limit.take("ana")
    watch.s += 0.2
    limit.take("ana")
    with pytest.raises(TooManyAttemptsError):
        limit.take("ana")


def test_one_name_does_not_spend_anothers_attempts() -> None:
    limit = RateLimit(1, 30, Watch())
    limit.take("ana")
    limit.take("bob")
    with pytest.raises(TooManyAttemptsError):
        limit.take("ana")


def test_a_right_password_costs_nothing() -> None:
    limit = RateLimit(1, 30, Watch())
    for _ in range(50):
        limit.take("ana")
        limit.give_back("ana")


def test_an_attacker_with_many_names_does_not_fill_the_memory() -> None:
    limit = RateLimit(2, 30, Watch())
    for number in range(_MOST_KEYS + 100):
        limit.take(str(number))
    assert len(limit._buckets) == _MOST_KEYS


@given(st.lists(st.floats(0, 20), max_size=60))
def test_no_window_ever_sees_more_than_the_burst_and_the_refill(pauses: list[float]) -> None:
    watch = Watch()
    limit = RateLimit(5, 60, watch)
    taken = 0
    for pause in pauses:
        watch.s += pause
        try:
            limit.take("ana")
            taken += 1
        except TooManyAttemptsError:
            pass
    assert taken <= 5 + (watch.s - 1000) * 5 / 60 + 1e-6
