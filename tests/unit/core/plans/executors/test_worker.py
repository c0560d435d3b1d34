"""Worker processes run plans as the plain executor does, and are ended when a plan overruns."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gridward.core.errors import (
    BusyError,
    InvalidInputError,
    ObjectNotFoundError,
    PlanFailedError,
    PlanLimitError,
    PlanRejectedError,
    TrainingError,
)
from gridward.core.plans.codec import encode
from gridward.core.plans.executors.gate import admit
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.rows import StoredRows
from gridward.core.plans.executors.stopping import Stop
from gridward.core.plans.executors.training import Epoch, Schedule, run_epochs
from gridward.core.plans.executors.worker import WorkerPool
from gridward.core.plans.executors.worker_process import SLACK_BYTES, _bounded
from gridward.core.plans.ops import Op
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.plan import Dim, DimRange, DType, Input, Kind, Output, Plan, Ref, Role, Step
from gridward.core.plans.trace import Traced, trace_training
from tests.support.rows import stored

pytestmark = pytest.mark.e2e

LIMITS = Limits(memory_bytes=2**31, time_s=60, operations=10**13)


def square(name: str = "square", steps: int = 1) -> Plan:
    """Multiply a matrix by itself again and again."""
    chain = tuple(
        Step(Op.MM, (Ref(f"t{at - 1}" if at else "x"), Ref("x")), (f"t{at}",)) for at in range(steps)
    )
    return Plan(
        name=name,
        kind=Kind.STATISTICS,
        producer="",
        dims=(("N", DimRange(1)),),
        inputs=(Input("x", Role.DATA, DType.FLOAT32, (Dim("N"), Dim("N"))),),
        constants=(),
        steps=chain,
        outputs=(Output("y", Role.OUTPUT, f"t{steps - 1}"),),
    )


def training_of(folder: Path) -> tuple[Traced, dict[str, StoredRows]]:
    """A small model to train, and 60 rows in files."""
    torch.manual_seed(0)
    x = torch.randn(60, 3)
    y = (x[:, 0] > 0).long()
    step = trace_training(nn.Linear(3, 2), F.cross_entropy, SGD(0.5), (x[:4], y[:4]), name="m")
    return step, stored(folder, {"x": x, "y": y})


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2) as workers:
        workers.warm()
        yield workers


def children() -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            found |= set(map(int, (task / "children").read_text().split()))
    return found


def test_a_plan_is_computed_as_in_this_process(pool: WorkerPool) -> None:
    x = torch.randn(5, 5)
    torch.testing.assert_close(pool.run(square(), {"x": x}, LIMITS)["y"], x @ x)


def test_a_training_is_done_as_in_this_process(pool: WorkerPool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 3)
    y = (x[:, 0] > 0).long()
    step = trace_training(nn.Linear(3, 2), F.cross_entropy, SGD(0.5), (x[:4], y[:4]), name="m")
    told: list[Epoch] = []
    given = pool.train(
        step.plan,
        step.parameters,
        stored(tmp_path, {"x": x, "y": y}),
        Schedule(16, 3, 1, 5),
        hyper=step.hyper,
        limits=LIMITS,
        on_epoch=told.append,
    )
    wanted = run_epochs(step.plan, step.parameters, {"x": x, "y": y}, Schedule(16, 3, 1, 5), hyper=step.hyper)
    torch.testing.assert_close(given.parameters, wanted.parameters)
    assert tuple(told) == given.history
    assert [epoch.metrics for epoch in told] == [epoch.metrics for epoch in wanted.history]


def test_rows_several_times_as_large_as_the_memory_limit_are_trained_on(
    pool: WorkerPool, tmp_path: Path
) -> None:
    """The limit of what a process holds, with its slack for allocators, is a quarter of the file."""
    limits = Limits(memory_bytes=2**24, time_s=60, operations=10**13)
    count, width = 4 * (limits.memory_bytes + SLACK_BYTES) // 2**17, 2**15
    rows = {"x": StoredRows(str(tmp_path / "x"), 0, DType.FLOAT32, (count, width))}
    with (tmp_path / "x").open("wb") as file:
        file.truncate(count * width * 4)  # zeros that take no place on the disk
        file.seek(-4 * width, os.SEEK_END)
        file.write(torch.ones(width).numpy().tobytes())
    rows |= stored(tmp_path, {"y": torch.arange(count) % 2})
    batch = (torch.zeros(4, width), torch.arange(4) % 2)
    step = trace_training(nn.Linear(width, 2), F.cross_entropy, SGD(0.5), batch, name="m")
    given = pool.train(step.plan, step.parameters, rows, Schedule(16, 1, 1), hyper=step.hyper, limits=limits)
    assert given.history[0].rows == count
    moved = given.parameters["weight"] - step.parameters["weight"]
    assert moved.abs().max() > 0  # by the one row that is not zero


def test_rows_that_are_gone_are_refused(pool: WorkerPool, tmp_path: Path) -> None:
    step, rows = training_of(tmp_path)
    Path(rows["x"].path).unlink()
    with pytest.raises(ObjectNotFoundError, match="deleted or replaced"):
        pool.train(step.plan, step.parameters, rows, Schedule(8, 1, 1), hyper=step.hyper, limits=LIMITS)


def test_a_plan_is_admitted_as_in_this_process(pool: WorkerPool) -> None:
    assert pool.admit(square()) == admit(square())


def test_refusals_come_back_as_the_same_classes(pool: WorkerPool) -> None:
    with pytest.raises(InvalidInputError, match="'x' is missing"):
        pool.run(square(), {}, LIMITS)
    with pytest.raises(PlanLimitError, match="bytes of memory"):
        pool.run(square(), {"x": torch.zeros(100, 100)}, Limits(memory_bytes=1000))
    with pytest.raises(PlanLimitError, match="elementary operations"):
        pool.run(square(), {"x": torch.zeros(100, 100)}, Limits(operations=1000))
    lookup = Plan(
        **{name: getattr(square(), name) for name in Plan.__slots__}
        | {
            "inputs": (Input("x", Role.DATA, DType.INT64, (Dim("N"),)),),
            "steps": (Step(Op.INDEX_SELECT, (Ref("x"), 0, Ref("x")), ("t0",)),),
        }
    )
    with pytest.raises(PlanFailedError, match="step 0") as caught:
        pool.run(lookup, {"x": torch.tensor([4242])}, LIMITS)
    assert "4242" not in str(caught.value)
    wrong = Plan(
        **{name: getattr(square(), name) for name in Plan.__slots__}
        | {"steps": (Step(Op.VIEW, (Ref("x"), (7,)), ("t0",)),)}
    )
    with pytest.raises(PlanRejectedError, match="step 0"):
        pool.admit(wrong)


def test_a_small_plan_with_a_huge_result_is_refused(pool: WorkerPool) -> None:
    huge = Plan(
        **{name: getattr(square(), name) for name in Plan.__slots__}
        | {"steps": (Step(Op.EXPAND, (Ref("x"), (10**9, Dim("N"), Dim("N"))), ("t0",)),)}
    )
    with pytest.raises(PlanLimitError, match="bytes of memory"):
        pool.run(huge, {"x": torch.zeros(3, 3)}, LIMITS)


def test_an_endless_plan_is_ended_while_others_run_on(pool: WorkerPool) -> None:
    endless = square("endless", steps=20_000)
    with ThreadPoolExecutor(1) as threads:
        started = time.monotonic()
        late = threads.submit(pool.run, endless, {"x": torch.zeros(300, 300)}, Limits(2**31, 2.0, 10**15))
        while not late.done():
            assert pool.run(square(), {"x": torch.eye(3)}, LIMITS)["y"].sum() == 3
        with pytest.raises(PlanLimitError, match=r"the time limit passed|took longer"):
            late.result()
    assert time.monotonic() - started < 30


def test_one_step_that_does_not_end_is_killed_and_the_worker_replaced(pool: WorkerPool) -> None:
    x = torch.zeros(7000, 7000)
    with pytest.raises(PlanLimitError, match=r"took longer than 0.3 s and was ended"):
        pool.run(square(), {"x": x}, Limits(2**31, 0.3, 10**15))
    for _ in range(3):
        assert pool.run(square(), {"x": torch.eye(3)}, LIMITS)["y"].sum() == 3


def test_memory_beyond_the_limit_cannot_be_taken() -> None:
    with _bounded(10 * 2**20):
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            torch.empty(2**30)
        with pytest.raises(MemoryError):
            bytearray(2**30)
    assert torch.empty(2**28).numel() == 2**28


def test_a_worker_that_is_killed_from_outside_is_replaced() -> None:
    before = children()
    with WorkerPool(1) as alone:
        alone.warm()
        (victim,) = children() - before
        with ThreadPoolExecutor(1) as threads:
            late = threads.submit(
                alone.run, square("s", 2000), {"x": torch.zeros(900, 900)}, Limits(2**31, 60, 10**15)
            )
            time.sleep(0.5)
            os.kill(victim, signal.SIGKILL)
            with pytest.raises(PlanLimitError, match="ended by the system"):
                late.result()
        assert alone.run(square(), {"x": torch.eye(3)}, LIMITS)["y"].sum() == 3
        (replacement,) = children() - before
        os.kill(replacement, signal.SIGTERM)
        while Path(f"/proc/{replacement}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)
        with pytest.raises(PlanFailedError, match="ended with -15"):
            alone.run(square(), {"x": torch.eye(3)}, LIMITS)
        assert alone.run(square(), {"x": torch.eye(3)}, LIMITS)["y"].sum() == 3
    assert children() == before


def test_closing_ends_running_plans_and_leaves_no_process() -> None:
    before = children()
    closing = WorkerPool(1, wait_s=0.2)
    closing.warm()
    with ThreadPoolExecutor(2) as threads:
        late = threads.submit(
            closing.run, square("s", 2000), {"x": torch.zeros(900, 900)}, Limits(2**31, 60, 10**15)
        )
        time.sleep(0.3)
        with pytest.raises(BusyError, match=r"busy for 0.2 s"):
            closing.run(square(), {"x": torch.eye(3)}, LIMITS)
        closing.close()
        with pytest.raises(BusyError, match="shutting down"):
            late.result()
    with pytest.raises(BusyError, match="shutting down"):
        closing.run(square(), {"x": torch.eye(3)}, LIMITS)
    closing.close()
    assert children() == before


def test_an_observer_that_raises_ends_the_training(pool: WorkerPool, tmp_path: Path) -> None:
    x = torch.randn(60, 3)
    y = (x[:, 0] > 0).long()
    step = trace_training(nn.Linear(3, 2), F.cross_entropy, SGD(0.5), (x[:4], y[:4]), name="m")

    def stop(_epoch: Epoch) -> None:
        raise KeyError("cancelled")

    schedule = Schedule(4, 100_000, 1)
    with pytest.raises(KeyError, match="cancelled"):
        pool.train(
            step.plan,
            step.parameters,
            stored(tmp_path, {"x": x, "y": y}),
            schedule,
            hyper=step.hyper,
            limits=LIMITS,
            on_epoch=stop,
        )
    assert pool.run(square(), {"x": torch.eye(3)}, LIMITS)["y"].sum() == 3


def test_a_stop_ends_a_training_in_the_midst_of_an_epoch_and_another_before_it_begins(
    pool: WorkerPool, tmp_path: Path
) -> None:
    step, rows = training_of(tmp_path)
    stop, told = Stop(), list[Epoch]()

    def train() -> None:
        pool.train(
            step.plan,
            step.parameters,
            rows,
            Schedule(1, 1, 1),
            hyper=step.hyper,
            chosen=torch.zeros(200_000, dtype=torch.int64),
            limits=LIMITS,
            on_epoch=told.append,
            stop=stop,
        )

    with ThreadPoolExecutor(1) as threads:
        long = threads.submit(train)
        time.sleep(0.5)
        assert not long.done()
        stop.ask()
        with pytest.raises(TrainingError, match="stopped"):
            long.result()
    with pytest.raises(TrainingError, match="stopped"):
        train()
    assert not told
    for _ in range(3):
        assert pool.run(square(), {"x": torch.eye(3)}, LIMITS)["y"].sum() == 3


def test_many_threads_share_a_pool(pool: WorkerPool) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        x = torch.full((3, 3), float(number))
        if not torch.equal(pool.run(square(), {"x": x}, LIMITS)["y"], x @ x):
            wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_workers_die_with_their_parent_even_while_they_compute() -> None:
    program = """
import sys, threading, torch
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.rows import StoredRows
from gridward.core.plans.executors.stopping import Stop
from gridward.core.plans.executors.worker import WorkerPool
from gridward.core.plans.codec import decode
pool = WorkerPool(1)
pool.warm()
plan = decode(sys.stdin.buffer.read())
limits = Limits(2**31, 60, 10**15)
threading.Thread(target=pool.run, args=(plan, {"x": torch.zeros(900, 900)}, limits), daemon=True).start()
print(*(worker._process.pid for worker in (*pool._idle, *pool._busy)), flush=True)
threading.Event().wait()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdin.write(encode(square("s", 5000)))
        parent.stdin.close()
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 1
        time.sleep(0.5)
        parent.kill()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
