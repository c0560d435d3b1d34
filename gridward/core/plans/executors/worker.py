"""Run plans in worker processes, so that an endless or huge plan is ended and its host stays responsive."""

import dataclasses
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from types import TracebackType
from typing import Final, Self

import torch
from torch import Tensor

from gridward.core.errors import ERRORS, BusyError, Code, PlanFailedError, PlanLimitError
from gridward.core.plans.codec import encode
from gridward.core.plans.executors import frames
from gridward.core.plans.executors.devices import CPU
from gridward.core.plans.executors.evaluation import Evaluation
from gridward.core.plans.executors.frames import Frame
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.rows import StoredRows
from gridward.core.plans.executors.stopping import Stop
from gridward.core.plans.executors.training import Epoch, Schedule, Training
from gridward.core.plans.plan import Cost, Plan
from gridward.core.plans.tallies import Tally

#: A worker ends a late plan itself between two steps; after this much longer it is killed.
GRACE_S: Final = 0.5
_PROGRAM: Final = "gridward.core.plans.executors.worker_process"
START_S: Final = 120.0
KILLED_FOR_MEMORY: Final = frozenset({-9, -6})


class WorkerPool:
    """Warm processes that run plans, each one at a time; safe to use from many threads.

    A process that overruns a limit is killed and replaced; others are not disturbed. ``close`` ends all.
    """

    def __init__(
        self, size: int = 2, threads: int = 1, wait_s: float = 60.0, device: torch.device = CPU
    ) -> None:
        """Start ``size`` processes with ``threads`` torch threads each; a caller waits ``wait_s`` for one.

        Trainings and evaluations compute on the ``device``, plans that are run on the processor.
        """
        if size < 1 or threads < 1 or wait_s < 0:
            raise ValueError("a pool has at least one process with one thread, and waits no negative time")
        self._threads = threads
        self._device = device
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(size)
        self._closed = False
        self._idle = [_Worker(threads, device) for _ in range(size)]
        self._busy: set[_Worker] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def admit(self, plan: Plan, time_s: float = 30.0) -> Cost:
        """Check a stranger's plan as ``gate.admit`` does, in another process: a large one takes seconds.

        Raises:
            PlanRejectedError: names every offending step.
            PlanLimitError: the check took longer than ``time_s``.
            BusyError: no process came free in time, or the pool is closed.
        """
        with self._worker() as worker:
            request = _request("admit", plan, {}, Limits(time_s=time_s))
            return Cost(**worker.ask(request, time_s, None).says["done"])

    def run(
        self,
        plan: Plan,
        inputs: Mapping[str, Tensor],
        limits: Limits,
        tallies: Sequence[Tally] = (),
        groups: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute a plan as ``plain.run`` does, in another process.

        With ``tallies`` (``executors.tally``), outputs that they read are left out and theirs are added, by
        their names.

        Raises:
            PlanLimitError: the plan needs, or took, more than its limits, and was ended.
            BusyError: no process came free in time, or the pool is closed.
            InvalidInputError, PlanRejectedError, PlanFailedError: as ``plain.run``.
        """
        with self._worker() as worker:
            numbers = {f"groups/{table}": number for table, number in (groups or {}).items()}
            counted = [dataclasses.asdict(one) for one in tallies]
            request = _request("run", plan, {**inputs, **numbers}, limits, tallies=counted)
            return dict(worker.ask(request, limits.time_s, None).tensors)

    def train(
        self,
        plan: Plan,
        parameters: Mapping[str, Tensor],
        rows: Mapping[str, StoredRows],
        schedule: Schedule,
        *,
        hyper: Mapping[str, Tensor] | None = None,
        chosen: Tensor | None = None,
        limits: Limits,
        on_epoch: Callable[[Epoch], None] | None = None,
        stop: Stop | None = None,
    ) -> Training:
        """Train as ``training.run_epochs`` does, in another process: one message there, one an epoch back.

        The process maps the files of the rows, and reads them a batch at a time.

        If ``on_epoch`` raises, the training is ended and the exception passed on; ``stop`` ends it in the
        midst of an epoch.

        Raises:
            ObjectNotFoundError: a file of rows is gone.
            TrainingError: ``stop`` was asked to end it.
            PlanLimitError: the training needs, or took, more than its limits, and was ended.
            BusyError: no process came free in time, or the pool is closed.
            InvalidInputError, PlanRejectedError, PlanFailedError: as ``training.run_epochs``.
        """
        tensors = _grouped(chosen, parameters=parameters, hyper=hyper or {})
        with self._worker() as worker:
            request = _request(
                "train", plan, tensors, limits, rows=_places(rows), schedule=dataclasses.asdict(schedule)
            )
            answer = worker.ask(request, limits.time_s, on_epoch, stop)
        return Training(dict(answer.tensors), tuple(Epoch(**raw) for raw in answer.says["done"]))

    def evaluate(
        self,
        plan: Plan,
        parameters: Mapping[str, Tensor],
        rows: Mapping[str, StoredRows],
        schedule: Schedule,
        *,
        chosen: Tensor | None = None,
        limits: Limits,
        stop: Stop | None = None,
    ) -> Evaluation:
        """Judge parameters as ``evaluation.evaluate`` does, in another process; raises as ``train``.

        Of the schedule only the sizes of batches matter.
        """
        tensors = _grouped(chosen, parameters=parameters)
        with self._worker() as worker:
            sizes = [schedule.batch_size, schedule.min_rows]
            request = _request("evaluate", plan, tensors, limits, rows=_places(rows), batches=sizes)
            return Evaluation(**worker.ask(request, limits.time_s, None, stop).says["done"])

    def warm(self) -> None:
        """Wait until every idle process is ready."""
        with self._lock:
            idle = list(self._idle)
        for worker in idle:
            worker.wait_ready()

    def close(self) -> None:
        """End every process, running plans included; their callers get ``BusyError``. Can be called twice."""
        with self._lock:
            self._closed = True
            workers = [*self._idle, *self._busy]
            self._idle.clear()
        for worker in workers:
            worker.end()

    @contextmanager
    def _worker(self) -> Iterator["_Worker"]:
        if not self._places.acquire(timeout=self._wait_s):
            raise BusyError(f"every plan worker has been busy for {self._wait_s:g} s; try again later")
        try:
            worker = self._take()
            try:
                yield worker
            except BaseException:
                if self._closed:
                    raise BusyError("the plan workers are shutting down") from None
                raise
            finally:
                self._give_back(worker)
        finally:
            self._places.release()

    def _take(self) -> "_Worker":
        with self._lock:
            if self._closed:
                raise BusyError("the plan workers are shutting down")
            worker = self._idle.pop()
            self._busy.add(worker)
            return worker

    def _give_back(self, worker: "_Worker") -> None:
        with self._lock:
            self._busy.discard(worker)
            if worker.usable and not self._closed:
                self._idle.append(worker)
                return
            if not self._closed:
                self._idle.insert(0, _Worker(self._threads, self._device))
        worker.end()


class _Worker:
    """One process. Used by one thread at a time, but for ``end``."""

    def __init__(self, threads: int, device: torch.device) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-P", "-m", _PROGRAM, str(threads), str(device)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        requests, answers = self._process.stdin, self._process.stdout
        if not isinstance(requests, BufferedWriter) or not isinstance(answers, BufferedReader):
            raise TypeError("pipes of a process are buffered")
        self._requests, self._answers = requests, answers
        self._ready = False
        self._ready_lock = threading.Lock()
        self._end_lock = threading.Lock()
        self._ended = False
        self.usable = True

    def wait_ready(self) -> None:
        """Wait for the process to have imported torch.

        Raises:
            RuntimeError: it cannot start; the message holds the end of its standard error.
        """
        with self._ready_lock:
            if self._ready:
                return
            with self._timer(START_S):
                self._ready = self._receive() is not None
            if not self._ready:
                self.usable = False
                self._process.wait()
                self._errors.seek(0)
                raise RuntimeError(f"a plan worker cannot start: {self._errors.read()[-2000:].decode()}")

    def ask(
        self,
        request: Frame,
        time_s: float,
        on_epoch: Callable[[Epoch], None] | None,
        stop: Stop | None = None,
    ) -> Frame:
        """Send a request and wait for its answer, the end of its time, or a stop."""
        stop = Stop() if stop is None else stop
        stop.check()
        self.wait_ready()
        try:
            with self._timer(time_s + GRACE_S) as expired, stop.killing(self._process.kill):
                answer = self._exchange(request, on_epoch)
        except BaseException:
            self.usable = False
            raise
        if expired.is_set() or stop.asked or answer is None:
            self.usable = False
        stop.check()
        if answer is None:
            raise self._fate(time_s, expired.is_set())
        if answer.says.get("spent"):
            self.usable = False
        if "refused" in answer.says:
            raise ERRORS[Code(answer.says["refused"])](answer.says["detail"])
        if "bug" in answer.says:
            raise RuntimeError(f"a plan worker failed: {answer.says['bug']}")
        return answer

    def end(self) -> None:
        """Kill the process and take back all it held; once, though closing and giving back may meet here."""
        with self._end_lock:
            if not self._ended:
                self._ended = True
                self._end()

    def _end(self) -> None:
        self.usable = False
        self._process.kill()
        self._process.wait()
        self._answers.close()
        self._errors.close()
        # What was left to flush has no reader any more.
        with suppress(BrokenPipeError):
            self._requests.close()

    def _exchange(self, request: Frame, on_epoch: Callable[[Epoch], None] | None) -> Frame | None:
        try:
            frames.write(self._requests, request)
        except (BrokenPipeError, ValueError):
            return None
        while (answer := self._receive()) is not None and "epoch" in answer.says:
            if on_epoch:
                on_epoch(Epoch(**answer.says["epoch"]))
        return answer

    def _receive(self) -> Frame | None:
        try:
            return frames.read(self._answers)
        except (EOFError, ValueError):
            return None

    @contextmanager
    def _timer(self, seconds: float) -> Iterator[threading.Event]:
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield expired
        finally:
            timer.cancel()

    def _fate(self, time_s: float, expired: bool) -> PlanLimitError | PlanFailedError:
        code = self._process.wait()
        if expired:
            return PlanLimitError(f"the plan took longer than {time_s:g} s and was ended")
        if code in KILLED_FOR_MEMORY:
            return PlanLimitError("the plan was ended by the system, most likely for its memory")
        return PlanFailedError(f"the worker process ended with {code} while it ran the plan")


def _grouped(chosen: Tensor | None, **groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {f"{group}/{name}": v for group, values in groups.items() for name, v in values.items()}
    return tensors if chosen is None else tensors | {"chosen": chosen}


def _places(rows: Mapping[str, StoredRows]) -> dict[str, object]:
    return {name: dataclasses.asdict(stored) for name, stored in rows.items()}


def _request(task: str, plan: Plan, tensors: Mapping[str, Tensor], limits: Limits, **more: object) -> Frame:
    says = {"task": task, "limits": dataclasses.asdict(limits), **more}
    return Frame(says, encode(plan), tensors)
