"""What ``Costs.memory`` states is what a party takes: never less than is counted, and not much more."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Plan, Ref
from gridward.core.smpc import memory
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.deployment import DeployedModel
from gridward.core.smpc.kernels import tile_intrinsics
from gridward.core.smpc.link import Link, Octets, local_mesh
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.party import answer, input_subkey, prepare
from gridward.core.smpc.program import Program
from gridward.core.smpc.query import mask_input
from tests.support.networks import network
from tests.support.parties import (
    BATCH,
    Recorder,
    Values,
    deployed,
    jointly,
    mlp_plan,
    plan_of,
    random_values,
    step,
)

SPARE_BYTES = 100_000
"""Python's own objects: they count where arrays are small."""
LARGER = 1.6


@dataclass
class Replayed:
    """A transport that receives what it once received, each frame fresh."""

    frames: list[bytes]
    left: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.left = list(self.frames)

    def authentic(self, peer: int) -> bool:
        return False

    def send(self, peer: int, *frame: Octets) -> None:
        """Forget a frame."""

    def receive(self, peer: int, deadline: float) -> bytes:
        return bytes(bytearray(self.left.pop(0)))

    def complete(self) -> None:
        """End."""

    def close(self) -> None:
        """End."""


def counted(program: Program, values: Values) -> tuple[int, int, int]:
    """Count what party 0 takes: its model, an open query, and all while a query runs."""
    grid = deployed(program, values)
    stored = BytesIO()
    grid.models[0].write_to(stored)
    stored.seek(0)
    packets = grid.dealer.deal_query(grid.entropy, 0)
    x = np.random.default_rng(1).uniform(0.1, 0.9, program.input.shape)
    subkeys = [input_subkey(program, party, packet) for party, packet in enumerate(packets)]
    masked = mask_input(program, x, subkeys)
    recorders = [Recorder(transport) for transport in local_mesh(program.parties)]

    def run(party: int, link: Link) -> None:
        answer(prepare(program, grid.models[party], packets[party]), masked, link)

    jointly(program.parties, run, recorders)
    tracemalloc.start()
    try:
        model = DeployedModel.read_from(program, 0, stored)
        for _ in range(2):  # the first one prepares weights
            before = tracemalloc.get_traced_memory()[0]
            session = prepare(program, model, packets[0])
            waiting = tracemalloc.get_traced_memory()[0] - before
            link = Link(Replayed(recorders[0].frames), 0, program.parties, bytes(16), 5.0)
            answer(session, masked.copy(), link)
            del session
        held = tracemalloc.get_traced_memory()[0]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return held, waiting, peak


def handmade(op: Op, *more: float) -> Plan:
    return plan_of([step(op, Ref("x"), *more, out="y")], (BATCH, 30_000), {}, "y")


def squared() -> Plan:
    steps = [
        step(Op.RELU, Ref("x"), out="r"),
        step(Op.MUL_TENSOR, Ref("r"), Ref("x"), out="y"),
    ]
    return plan_of(steps, (BATCH, 30_000), {}, "y")


PROGRAMS: dict[str, Callable[[], Program]] = {
    "relu": lambda: compile_plan(handmade(Op.RELU), batch=2, parties=2),
    "relu on one level, three parties": lambda: compile_plan(handmade(Op.RELU), batch=2, parties=3, levels=1),
    "truncation": lambda: compile_plan(handmade(Op.MUL_TENSOR, 0.7), batch=2, parties=2),
    "sigmoid": lambda: compile_plan(handmade(Op.SIGMOID), batch=1, parties=2),
    "product of secrets": lambda: compile_plan(
        plan_of([step(Op.MUL_TENSOR, Ref("x"), Ref("x"), out="y")], (BATCH, 30_000), {}, "y"),
        batch=2,
        parties=2,
    ),
    "perceptron": lambda: compile_plan(mlp_plan(100, 300, 50), batch=128, parties=2),
}


def require_close(program: Program, values: Values) -> None:
    stated = program.costs.memory
    model, waiting, running = counted(program, values)
    for told, seen in (
        (stated.model_bytes, model),
        (stated.waiting_bytes, waiting),
        (stated.running_bytes, running),
    ):
        assert seen <= told + SPARE_BYTES
        assert told <= LARGER * seen + SPARE_BYTES


@pytest.mark.parametrize("name", PROGRAMS)
def test_stated_memory_is_what_is_counted_or_a_little_more(name: str) -> None:
    program = PROGRAMS[name]()
    require_close(program, random_values(program, 1))


@pytest.mark.parametrize("name", ["lenet", "residual", "odd", "averaging"])
@pytest.mark.parametrize("batch", [1, 16])
def test_stated_memory_of_a_network_is_what_is_counted_or_a_little_more(name: str, batch: int) -> None:
    model = network(name)
    require_close(compile_plan(model.plan, batch=batch, parties=2), model.parameters)


@pytest.mark.parametrize("maxima", MaxForm)
def test_stated_memory_of_maxima_is_what_is_counted_or_a_little_more(maxima: MaxForm) -> None:
    model = network("lenet")
    require_close(compile_plan(model.plan, batch=8, parties=2, maxima=maxima), model.parameters)


def test_padding_is_that_of_tiles() -> None:
    assert (memory.TILE_ROWS, memory.TILE_DEPTH) == (tile_intrinsics.ROWS, tile_intrinsics.DEPTH)
