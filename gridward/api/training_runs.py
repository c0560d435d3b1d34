"""Trainings that run on this node now: threads that wait for worker processes, and how far each one is."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from gridward.api.workers import Admission, Workers
from gridward.core.errors import ConflictError, GridError, TrainingError
from gridward.core.plans.executors.rows import StoredRows
from gridward.core.plans.executors.stopping import Stop
from gridward.core.plans.executors.training import Epoch, Schedule, Training
from gridward.core.plans.plan import Plan
from gridward.core.schemas.trainings import EpochMetrics
from gridward.server.logs import carried
from gridward.server.settings import NodeSettings

CANCELLED: Final = "whoever started it cancelled it"
_log: Final = logging.getLogger("gridward.trainings")


class DivergedError(TrainingError):
    """Numbers stopped being finite: that depends on the rows, so that the failure itself is an answer."""


@dataclass(frozen=True, slots=True)
class Task:
    """A plan, the numbers of the rows that it goes over (None: all), and how."""

    plan: Plan
    chosen: Tensor | None
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that one run needs; nothing of it comes from the database again."""

    id: str
    training: Task | None
    evaluation: Task | None
    parameters: Mapping[str, Tensor]
    rows: Mapping[str, StoredRows]
    hyper: Mapping[str, Tensor]


@dataclass(slots=True)
class Progress:
    """How far a run is; written by its thread, read by others."""

    started: float
    history: list[EpochMetrics] = field(default_factory=list)
    validation: dict[str, float] | None = None
    finished: bool = False
    ending: bool = False
    stop: Stop = field(default_factory=Stop)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: with parameters if it trained, or with a reason; ``told``: one that speaks of rows."""

    training: Training | None
    detail: str
    history: list[EpochMetrics]
    seconds: float
    validation: dict[str, float] | None = None
    told: bool = False


class TrainingRuns:
    """Runs orders in the background, a few at once; tells each one's ending to a callback."""

    def __init__(
        self, settings: NodeSettings, workers: Workers, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers = workers
        self._clock = clock
        self.admission = Admission(settings.trainings_at_once + settings.training_queue, "trainings")
        self._threads = ThreadPoolExecutor(settings.trainings_at_once, "training")
        self._lock = threading.Lock()
        self._progress: dict[str, Progress] = {}

    def admit(self, training_id: str) -> None:
        """Take a place for an order that is about to be written down; ``start`` or ``give_up`` follows.

        From here on ``progress`` knows it: what is written down as running and unknown here was lost. Raises
        ``BusyError``, ``ConflictError`` if a run of this id is under way.
        """
        self.admission.take()
        with self._lock:
            known = self._progress.setdefault(training_id, mine := Progress(self._clock()))
        if known is not mine:
            self.admission.give_back()
            raise ConflictError(f"there is a training '{training_id}'; draw another id")

    def give_up(self, training_id: str) -> None:
        """Give a place back that no order took."""
        with self._lock:
            del self._progress[training_id]
        self.admission.give_back()

    def start(self, order: Order, end: Callable[[Ending], None]) -> None:
        """Run an admitted order when a thread is free; ``end`` is called there, once, whatever happens."""
        self._threads.submit(carried(self._run, order, end))

    def progress(self, training_id: str) -> Progress | None:
        """Say how far a run is; None if it does not run here any more."""
        with self._lock:
            return self._progress.get(training_id)

    def cancel(self, training_id: str) -> bool:
        """End a run at once, without its parameters; False if it ends already."""
        with self._lock:
            progress = self._progress.get(training_id)
            if progress is None or progress.ending:
                return False
            progress.stop.ask()
            return True

    def running(self) -> dict[str, Progress]:
        """Say how far every run is that is accepted and has not ended."""
        with self._lock:
            return dict(self._progress)

    def elapsed_s(self, progress: Progress) -> float:
        """Seconds since a run was accepted."""
        return self._clock() - progress.started

    def stop(self) -> None:
        """Wait for the threads; those that wait for their turn never begin. End the workers first."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, order: Order, end: Callable[[Ending], None]) -> None:
        progress = self._progress[order.id]
        training, detail, told = None, "", False
        try:
            progress.stop.check()
            if order.evaluation is not None:
                progress.validation = self._judged(order, order.evaluation, progress)
            if order.training is not None:
                training = self._trained(order, order.training, progress)
        except GridError as why:
            training, detail, told = None, why.detail, isinstance(why, DivergedError)
        except Exception:  # noqa: BLE001 (a thread of its own: nobody else would tell of a bug)
            _log.exception("training %s failed", order.id)
            training, detail = None, "the node failed on this training; its log knows more"
        with self._lock:
            progress.ending = True
        if progress.stop.asked:
            training, detail, told = None, CANCELLED, False
        try:
            seconds = self.elapsed_s(progress)
            end(Ending(training, detail, progress.history, seconds, progress.validation, told))
        except Exception:  # noqa: BLE001 (a thread of its own: nobody else would tell of a bug)
            _log.exception("training %s could not be stored", order.id)
        finally:
            progress.finished = True
            with self._lock:
                del self._progress[order.id]
            self.admission.give_back()

    def _judged(self, order: Order, task: Task, progress: Progress) -> dict[str, float]:
        rows, held = _fed(task.plan, order)
        judged = self._workers.evaluate(task.plan, held, rows, task.schedule, task.chosen, progress.stop)
        values = _averaged(judged.loss, judged.metrics, judged.rows)
        if not all(map(math.isfinite, values.values())):
            raise DivergedError("the parameters as received have a loss or a metric that is not finite")
        return values

    def _trained(self, order: Order, task: Task, progress: Progress) -> Training:
        rows, held = _fed(task.plan, order)
        training = self._workers.train(
            task.plan,
            held,
            rows,
            order.hyper,
            task.schedule,
            task.chosen,
            lambda epoch: progress.history.append(metrics_of(epoch)),
            progress.stop,
        )
        require_finite(training)
        return training


def _fed(plan: Plan, order: Order) -> tuple[dict[str, StoredRows], dict[str, Tensor]]:
    """Give the rows and the parameters that this plan of the order takes."""
    names = {given.name for given in plan.inputs}
    rows = {name: value for name, value in order.rows.items() if name in names}
    return rows, {name: value for name, value in order.parameters.items() if name in names}


def _averaged(loss: float, sums: Mapping[str, float], rows: int) -> dict[str, float]:
    return {"loss": loss, **{name: total / rows for name, total in sums.items()}}


def metrics_of(epoch: Epoch) -> EpochMetrics:
    """Average an epoch over its rows; raises ``TrainingError`` if it diverged, which ends the run."""
    values = _averaged(epoch.loss, epoch.metrics, epoch.rows)
    if not all(map(math.isfinite, values.values())):
        raise DivergedError(
            f"the training diverged in epoch {epoch.epoch + 1}: its loss or a metric is not finite; "
            "use a smaller learning rate"
        )
    return EpochMetrics(epoch=epoch.epoch, steps=epoch.steps, values=values)


def require_finite(training: Training) -> None:
    """Raise ``TrainingError`` if a trained parameter is not finite."""
    for name, value in training.parameters.items():
        if not bool(value.isfinite().all()):
            raise DivergedError(f"the training diverged: {name} is not finite; use a smaller learning rate")
