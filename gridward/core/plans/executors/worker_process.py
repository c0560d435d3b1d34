"""The inside of a worker process: requests on standard input, answers on standard output.

Started by ``executors.worker`` as
``python -P -m gridward.core.plans.executors.worker_process THREADS DEVICE``.
It ends when its standard input does, whatever it is doing then: so it never outlives its parent.
"""

import dataclasses
import functools
import os
import queue
import resource
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gridward.core.errors import GridError, PlanFailedError, PlanLimitError
from gridward.core.plans.codec import decode
from gridward.core.plans.executors import frames
from gridward.core.plans.executors.devices import CPU
from gridward.core.plans.executors.evaluation import evaluate
from gridward.core.plans.executors.frames import Frame
from gridward.core.plans.executors.gate import admit
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.plain import run
from gridward.core.plans.executors.rows import MappedRows, StoredRows
from gridward.core.plans.executors.tally import tally
from gridward.core.plans.executors.training import Epoch, Schedule, run_epochs
from gridward.core.plans.plan import Plan
from gridward.core.plans.tallies import Tally

#: Room for allocators, thread stacks and reading the plan, which no estimate of values holds.
SLACK_BYTES: Final = 128 * 2**20
#: The driver and torch load kernels while a plan runs.
CUDA_SLACK_BYTES: Final = 4 * 2**30
PARAMETERS, HYPER, GROUPS = "parameters", "hyper", "groups"
CHOSEN: Final = "chosen"


def main() -> None:
    """Serve requests until standard input ends."""
    requests, answers = _streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    warnings.simplefilter("ignore")
    device = torch.device(sys.argv[2])
    _warm_up(int(sys.argv[1]), device)
    waiting: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting), daemon=True).start()
    frames.write(answers, Frame({"ready": True}))
    while True:
        frames.write(answers, _answer(waiting.get(), answers, device))


def _streams() -> tuple[BufferedReader, BufferedWriter]:
    """Keep standard output for answers alone: what else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return os.fdopen(os.dup(0), "rb"), answers


def _warm_up(threads: int, device: torch.device) -> None:
    """Let torch start its threads and device, and import what its first meta operation imports."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # else a convolution keeps ten bits of the numbers
    square = torch.ones(256, 256, device=device)
    torch.mm(square, square).sum()
    shape = torch.empty(2, 2, device="meta")
    torch.ops.aten.add.Tensor(shape, shape)


def _listen(requests: BufferedReader, waiting: "queue.SimpleQueue[Frame]") -> None:
    try:
        while (frame := frames.read(requests)) is not None:
            waiting.put(frame)
    finally:
        os._exit(0)


def _answer(request: Frame, answers: BufferedWriter, device: torch.device) -> Frame:
    try:
        limits = Limits(**request.says["limits"])
        plan = _plan(request.plan)
        with _bounded(limits.memory_bytes, device):
            match request.says["task"]:
                case "admit":
                    return Frame({"done": dataclasses.asdict(admit(plan))})
                case "train":
                    return _train(plan, request, limits, answers, device)
                case "evaluate":
                    return _evaluate(plan, request, limits, device)
                case _:
                    return Frame({"done": None}, tensors=_whole(_run(plan, request, limits)))
    except GridError as why:
        # A kernel that failed on a device takes the whole process' context along.
        spent = isinstance(why, PlanFailedError) and device != CPU
        return Frame({"refused": why.code.value, "detail": why.detail, "spent": spent})
    except Exception as why:  # noqa: BLE001 - the parent must learn of a bug; its text may hold private values
        if isinstance(why, MemoryError) or "can't allocate memory" in str(why):
            return Frame({"refused": PlanLimitError.code.value, "detail": "the plan ran out of memory"})
        place = traceback.extract_tb(why.__traceback__)[-1]
        bug = f"{type(why).__name__} at {Path(place.filename).name}:{place.lineno}"
        return Frame({"bug": bug, "spent": device != CPU})


def _run(plan: Plan, request: Frame, limits: Limits) -> dict[str, Tensor]:
    tallies = [Tally.of(raw) for raw in request.says["tallies"]]
    inputs = {name: value for name, value in request.tensors.items() if not name.startswith(f"{GROUPS}/")}
    results = run(plan, inputs, limits)
    counted = tally(tallies, results, _group(request, GROUPS))
    read = {name for one in tallies for name in one.operands}
    return {name: value for name, value in results.items() if name not in read} | counted


def _train(
    plan: Plan, request: Frame, limits: Limits, answers: BufferedWriter, device: torch.device
) -> Frame:
    def report(epoch: Epoch) -> None:
        frames.write(answers, Frame({"epoch": dataclasses.asdict(epoch)}))

    training = run_epochs(
        plan,
        _group(request, PARAMETERS),
        _rows(request),
        Schedule(**request.says["schedule"]),
        hyper=_group(request, HYPER),
        chosen=request.tensors.get(CHOSEN),
        limits=limits,
        on_epoch=report,
        device=device,
    )
    return Frame(
        {"done": list(map(dataclasses.asdict, training.history))}, tensors=_whole(training.parameters)
    )


def _evaluate(plan: Plan, request: Frame, limits: Limits, device: torch.device) -> Frame:
    judged = evaluate(
        plan,
        _group(request, PARAMETERS),
        _rows(request),
        *request.says["batches"],
        chosen=request.tensors.get(CHOSEN),
        limits=limits,
        device=device,
    )
    return Frame({"done": dataclasses.asdict(judged)})


def _whole(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make views of less memory than they show into tensors while the limit on memory still holds."""
    return {name: value.contiguous() for name, value in values.items()}


def _rows(request: Frame) -> dict[str, MappedRows]:
    return {name: MappedRows(StoredRows.of(raw)) for name, raw in request.says["rows"].items()}


def _group(request: Frame, group: str) -> dict[str, Tensor]:
    start = f"{group}/"
    return {name[len(start) :]: value for name, value in request.tensors.items() if name.startswith(start)}


@functools.lru_cache(maxsize=32)
def _plan(blob: bytes) -> Plan:
    return decode(blob)


@contextmanager
def _bounded(memory_bytes: int, device: torch.device = CPU) -> Iterator[None]:
    """Let the process take only so much more memory, where the system can say how much it has."""
    _, most = before = resource.getrlimit(resource.RLIMIT_DATA)
    held, slack = _data_bytes(), SLACK_BYTES if device == CPU else CUDA_SLACK_BYTES
    if held is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (held + memory_bytes + slack, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int | None:
    try:
        pages = Path("/proc/self/statm").read_text().split()[5]
    except OSError:
        return None
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    main()
