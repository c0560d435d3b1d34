"""The node's worker processes: who may wait for one, and what a plan may use there.

Processes start with the first plan, so that a node that only stores and describes stays small.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from gridward.core.errors import BusyError
from gridward.core.plans.executors.devices import CPU, Device, find
from gridward.core.plans.executors.evaluation import Evaluation
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.rows import StoredRows
from gridward.core.plans.executors.stopping import Stop
from gridward.core.plans.executors.training import Epoch, Schedule, Training
from gridward.core.plans.executors.worker import WorkerPool
from gridward.core.plans.plan import Plan
from gridward.core.plans.tallies import Tally
from gridward.server.settings import NodeSettings

_RETRY_S = 5.0


class Admission:
    """At most so many at once, running or waiting; the next one is told to come back."""

    def __init__(self, places: int, what: str) -> None:
        self.places = places
        self._taken = 0
        self._lock = threading.Lock()
        self._what = what

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._taken

    def take(self) -> None:
        """Take a place; raises ``BusyError`` with a time to come back if there is none."""
        if not self.take_if_free():
            raise BusyError(
                f"this node runs as many {self._what} as it takes; try again", retry_after_s=_RETRY_S
            )

    def take_if_free(self) -> bool:
        """Take a place; says whether there was one."""
        with self._lock:
            free = self._taken < self.places
            self._taken += free
        return free

    def give_back(self) -> None:
        """Leave the place to the next one."""
        with self._lock:
            if self._taken == 0:
                raise ValueError("a place was given back twice")
            self._taken -= 1

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for the block."""
        self.take()
        try:
            yield
        finally:
            self.give_back()


class Workers:
    """Two pools of processes, for computations and for trainings: a long training delays no question."""

    def __init__(self, settings: NodeSettings) -> None:
        """Start nothing yet; raises ``InvalidInputError`` if the device of trainings is not there."""
        self._settings = settings
        self._device = find(Device(settings.device))
        self.computations = Admission(settings.plan_workers + settings.plan_queue, "computations")
        self._lock = threading.Lock()
        self._pools: dict[str, WorkerPool] = {}
        self._closed = False

    def run(
        self,
        plan: Plan,
        inputs: Mapping[str, Tensor],
        tallies: Sequence[Tally] = (),
        groups: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute a plan in a worker process; raises as ``WorkerPool.run``, or ``BusyError``."""
        limits = Limits(
            self._settings.plan_memory_bytes, self._settings.plan_time_s, self._settings.plan_operations
        )
        with self.computations.place():
            pool = self._pool("plans", self._settings.plan_workers, CPU)
            return pool.run(plan, inputs, limits, tallies, groups)

    def train(
        self,
        plan: Plan,
        parameters: Mapping[str, Tensor],
        rows: Mapping[str, StoredRows],
        hyper: Mapping[str, Tensor],
        schedule: Schedule,
        chosen: Tensor | None,
        on_epoch: Callable[[Epoch], None],
        stop: Stop,
    ) -> Training:
        """Train in a worker process; raises as ``WorkerPool.train``."""
        return self._trainers().train(
            plan,
            parameters,
            rows,
            schedule,
            hyper=hyper,
            chosen=chosen,
            limits=self._training_limits(),
            on_epoch=on_epoch,
            stop=stop,
        )

    def evaluate(
        self,
        plan: Plan,
        parameters: Mapping[str, Tensor],
        rows: Mapping[str, StoredRows],
        schedule: Schedule,
        chosen: Tensor | None,
        stop: Stop,
    ) -> Evaluation:
        """Judge parameters in a worker process, as long and as much as a training may take."""
        limits = self._training_limits()
        return self._trainers().evaluate(
            plan, parameters, rows, schedule, chosen=chosen, limits=limits, stop=stop
        )

    @property
    def is_open(self) -> bool:
        """Whether plans are taken."""
        return not self._closed

    def close(self) -> None:
        """End every process, with whatever it runs."""
        with self._lock:
            self._closed = True
            pools = list(self._pools.values())
        for pool in pools:
            pool.close()

    def _training_limits(self) -> Limits:
        return Limits(
            self._settings.plan_memory_bytes,
            self._settings.training_time_s,
            self._settings.training_operations,
        )

    def _trainers(self) -> WorkerPool:
        return self._pool("trainings", self._settings.trainings_at_once, self._device)

    def _pool(self, name: str, size: int, device: torch.device) -> WorkerPool:
        with self._lock:
            if self._closed:
                raise BusyError("this node is stopping")
            if name not in self._pools:
                self._pools[name] = WorkerPool(size, wait_s=self._settings.plan_time_s, device=device)
            return self._pools[name]
