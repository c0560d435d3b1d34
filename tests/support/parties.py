"""Parties in one process: plans by hand, joint runs, and everything that each party received."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import (
    Argument,
    Dim,
    DimRange,
    DType,
    Input,
    Kind,
    Output,
    Plan,
    Ref,
    Role,
    Size,
    Step,
)
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.deployment import DeployedModel, deploy, split_parameters
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.link import Link, LocalTransport, Octets, Transport, local_mesh
from gridward.core.smpc.party import RunResult, input_subkey, run
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.program import Program
from gridward.core.smpc.query import mask_input, reconstruct_output
from gridward.core.smpc.ring import RingArray

T = TypeVar("T")
Values = Mapping[str, NDArray[Any]]
BATCH = Dim("B")


class SeededEntropy:
    """Repeatable bytes for tests, where real code draws from the operating system."""

    def __init__(self, seed: int) -> None:
        self._prg = Prg(seed.to_bytes(32, "little"))
        self._drawn = 0

    def __call__(self, count_bytes: int) -> bytes:
        self._drawn += 1
        return self._prg.draw(self._drawn, count_bytes)


@dataclass
class Recorder:
    """A transport that keeps the frames it received."""

    inner: LocalTransport
    frames: list[bytes] = field(default_factory=list)

    def authentic(self, peer: int) -> bool:
        return self.inner.authentic(peer)

    def send(self, peer: int, *frame: Octets) -> None:
        self.inner.send(peer, *frame)

    def receive(self, peer: int, deadline: float) -> bytes:
        frame = self.inner.receive(peer, deadline)
        self.frames.append(frame)
        return frame

    def close(self) -> None:
        self.inner.close()


def jointly(
    parties: int,
    work: Callable[[int, Link], T],
    transports: Sequence[Transport] | None = None,
    session: bytes = bytes(16),
    timeout_s: float = 20.0,
) -> list[T]:
    """Run one function as every party at the same time; raise the first error if there is one."""
    mesh = local_mesh(parties) if transports is None else transports
    links = [Link(mesh[party], party, parties, session, timeout_s) for party in range(parties)]
    with ThreadPoolExecutor(parties) as pool:
        pending = [pool.submit(work, party, links[party]) for party in range(parties)]
        return [future.result() for future in pending]


@dataclass
class Grid:
    """A deployed model: a dealer and all parties."""

    program: Program
    dealer: Dealer
    models: list[DeployedModel]
    entropy: SeededEntropy
    kernels: Kernels = cpu


@dataclass
class Answered:
    """One query: what the client got, what every party answered and received."""

    output: NDArray[np.float64]
    results: list[RunResult]
    packets: list[bytes]
    masked_input: RingArray
    frames: list[list[bytes]]


def deployed(program: Program, values: Values, seed: int = 1, kernels: Kernels = cpu) -> Grid:
    """Deploy a model to all parties of a program."""
    entropy = SeededEntropy(seed)
    dealer = Dealer(program, entropy(32), kernels)
    setup, parameters = dealer.deal_setup(), split_parameters(program, values, entropy)
    models = jointly(
        program.parties,
        lambda party, link: deploy(program, party, setup[party], parameters[party], link),
    )
    return Grid(program, dealer, models, entropy, kernels)


def ask(grid: Grid, values: NDArray[Any], corrected_party: int = 0) -> Answered:
    """Run one query over the in-process mesh."""
    program = grid.program
    packets = grid.dealer.deal_query(grid.entropy, corrected_party)
    subkeys = [input_subkey(program, party, packet) for party, packet in enumerate(packets)]
    masked = mask_input(program, values, subkeys)
    recorders = [Recorder(transport) for transport in local_mesh(program.parties)]

    def work(party: int, link: Link) -> RunResult:
        return run(program, grid.models[party], packets[party], masked, link, grid.kernels)

    results = jointly(program.parties, work, recorders)
    output = reconstruct_output(
        program, [result.output_share for result in results], [result.checks for result in results]
    )
    return Answered(output, results, packets, masked, [recorder.frames for recorder in recorders])


def plan_of(
    steps: Sequence[Step],
    data: tuple[Size, ...],
    parameters: Mapping[str, tuple[int, ...]],
    output: str,
    **changes: Any,
) -> Plan:
    """Make an inference plan by hand: data input `x`, parameters, one output."""
    inputs = [Input(name, Role.PARAM, DType.FLOAT32, shape) for name, shape in parameters.items()]
    fields: dict[str, Any] = {
        "name": "by-hand",
        "kind": Kind.INFERENCE,
        "producer": "tests",
        "dims": (("B", DimRange()),),
        "inputs": (*inputs, Input("x", Role.DATA, DType.FLOAT32, data)),
        "constants": (),
        "steps": tuple(steps),
        "outputs": (Output("output", Role.OUTPUT, output),),
    }
    return Plan(**(fields | changes))


def step(op: Op, *args: Argument, out: str | tuple[str, ...]) -> Step:
    """Make one step."""
    return Step(op, args, (out,) if isinstance(out, str) else out)


def linear_steps(source: str, layer: str, out: str) -> list[Step]:
    """Make the steps of a linear layer as torch decomposes it."""
    return [
        step(Op.PERMUTE, Ref(f"{layer}.weight"), (1, 0), out=f"{layer}.t"),
        step(Op.ADDMM, Ref(f"{layer}.bias"), Ref(source), Ref(f"{layer}.t"), 1, 1, out=out),
    ]


def linear_plan(inputs: int, outputs: int) -> Plan:
    """Make the plan of one linear layer `fc`."""
    shapes = {"fc.weight": (outputs, inputs), "fc.bias": (outputs,)}
    return plan_of(linear_steps("x", "fc", "y"), (BATCH, inputs), shapes, "y")


def mlp_plan(inputs: int, hidden: int, outputs: int) -> Plan:
    """Make the plan of linear, ReLU, linear: layers `a` and `b`."""
    shapes = {
        "a.weight": (hidden, inputs),
        "a.bias": (hidden,),
        "b.weight": (outputs, hidden),
        "b.bias": (outputs,),
    }
    steps = [
        *linear_steps("x", "a", "h"),
        step(Op.RELU, Ref("h"), out="r"),
        *linear_steps("r", "b", "y"),
    ]
    return plan_of(steps, (BATCH, inputs), shapes, "y")


def random_values(program: Program, seed: int, spread: float = 0.5) -> dict[str, NDArray[np.float64]]:
    """Draw parameters of a program."""
    rng = np.random.default_rng(seed)
    return {item.name: rng.normal(0, spread, item.shape) for item in program.parameters}
