import threading
import time

from sqlalchemy.exc import OperationalError

from gridward.server.jobs import Bell, Repeated


def test_every_waiting_thread_hears_a_ring() -> None:
    bell = Bell()
    heard: list[int] = []
    threads = [threading.Thread(target=lambda: heard.append(bell.wait(0, 30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    bell.ring()
    for thread in threads:
        thread.join(10)
    assert heard == [1, 1, 1]


def test_a_ring_that_came_while_nobody_waited_is_not_lost() -> None:
    bell = Bell()
    bell.ring()
    assert bell.wait(0, 30) == 1


def test_waiting_ends_when_the_time_is_over() -> None:
    assert Bell().wait(0, 0.01) == 0


def test_a_task_repeats_through_a_failing_database_until_it_is_stopped() -> None:
    runs = 0
    enough = threading.Event()

    def task() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise OperationalError("SELECT 1", {}, Exception("locked"))
        if runs == 3:
            enough.set()

    repeated = Repeated("test", 0.001, task)
    repeated.start()
    assert enough.wait(10)
    repeated.stop()
    stopped_at = runs
    time.sleep(0.02)
    assert runs == stopped_at
