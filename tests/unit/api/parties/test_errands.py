import logging
import threading
from collections.abc import Iterator

import pytest

from gridward.api.parties.errands import Errands

PATIENCE_S = 10.0


@pytest.fixture
def errands() -> Iterator[Errands]:
    made = Errands("test", threads=2)
    yield made
    made.close()


def test_what_is_asked_for_is_done(errands: Errands) -> None:
    done = threading.Event()
    errands.ask("one", done.set)
    assert done.wait(PATIENCE_S)


def test_asked_for_many_times_before_it_begins_it_is_done_once(errands: Errands) -> None:
    begun, go_on, finished, times = threading.Event(), threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go_on.wait(PATIENCE_S)

    errands.ask("key", first)
    assert begun.wait(PATIENCE_S)
    for _ in range(5):
        errands.ask("key", lambda: times.append("again"))
    errands.ask("key", lambda: (times.append("last"), finished.set())[0])  # one key waits for itself
    assert times == []
    go_on.set()
    assert finished.wait(PATIENCE_S)
    assert times == ["last"]


def test_other_keys_do_not_wait_for_a_slow_one(errands: Errands) -> None:
    go_on, done = threading.Event(), threading.Event()
    errands.ask("slow", lambda: go_on.wait(PATIENCE_S) and None)
    errands.ask("quick", done.set)
    assert done.wait(PATIENCE_S)
    go_on.set()


def test_asking_again_never_puts_off_what_was_asked_for_sooner(errands: Errands) -> None:
    done = threading.Event()
    errands.ask("key", done.set, delay_s=3600)
    assert not done.is_set()
    errands.ask("key", done.set)
    errands.ask("key", done.set, delay_s=3600)
    assert done.wait(PATIENCE_S)


def test_a_task_that_fails_is_logged_and_others_go_on(
    errands: Errands, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    def broken() -> None:
        raise RuntimeError("no")

    with caplog.at_level(logging.ERROR):
        errands.ask("broken", broken)
        errands.ask("sound", done.set)
        assert done.wait(PATIENCE_S)
        errands.close()
    assert "an errand failed: broken" in caplog.text


def test_closing_waits_for_what_is_being_done_and_drops_the_rest() -> None:
    errands, begun, go_on, seen = Errands("one"), threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        go_on.wait(PATIENCE_S)
        seen.append("slow")

    errands.ask("slow", slow)
    assert begun.wait(PATIENCE_S)
    errands.ask("other", lambda: seen.append("other"))
    closing = threading.Thread(target=errands.close)
    closing.start()
    go_on.set()
    closing.join(PATIENCE_S)
    errands.ask("late", lambda: seen.append("late"))
    assert seen == ["slow"]
