"""A compiled encrypted computation: registers, gates in order, what it needs and costs. Pure data.

Everyone in a deployment compiles the same plan for themselves and compares ``digest``.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from gridward.core.smpc.gate import Gate, Shape
from gridward.core.smpc.recipe import Recipe

VERSION: Final = 2


class Form(StrEnum):
    """How the parties hold a value x.

    WIRE: x + A is public, A is shared. TRUNCATED: the opened product of a truncation, its mask's upper bits
    shared; counts as a share too. SHARE: additive shares of x.
    """

    WIRE = "wire"
    TRUNCATED = "truncated"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Register:
    """One value: its shape, its fraction bits and how it is held.

    ``carry_bits``: bits that the truncation which made a TRUNCATED value cut off; 0 for other forms.
    """

    shape: Shape
    scale: int
    form: Form
    carry_bits: int = 0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the model: split once per deployment at ``scale`` fraction bits.

    With a ``recipe`` it is not the plan's of that name but derived from some of them. ``masked`` ones are
    operands of products: their mask B comes from the dealer and W + B is opened once.
    """

    name: str
    shape: Shape
    scale: int
    masked: bool
    recipe: Recipe | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Name the plan's parameters that it takes."""
        return (self.name,) if self.recipe is None else self.recipe.sources


class SlotKind(StrEnum):
    """How the parties' parts of a correlation join."""

    SUM = "sum"
    XOR = "xor"


@dataclass(frozen=True, slots=True)
class Slot:
    """One array of dealer randomness of a gate; every party draws its part from its seed.

    A ``corrected`` slot shares a function of masks: one party adds what the dealer sent. ``dtype`` is
    ``uint8`` to ``uint64``; packed bits are XOR slots of ``uint8``.
    """

    gate: int
    name: str
    shape: Shape
    dtype: str
    kind: SlotKind
    corrected: bool
    stream: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one party's arrays take at most.

    ``model_bytes``: its shares of the parameters and the opened weights, as prepared for products.
    ``waiting_bytes``: what a query that is open holds until its input comes. ``running_bytes``: all of it
    while one query runs, the model, its masked input and frames included.
    """

    model_bytes: int
    waiting_bytes: int
    running_bytes: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What a deployment and one query cost, exactly; they depend on shapes only, never on values.

    ``online_bytes_per_party`` is what one party sends to its peers in one query, frame headers included;
    ``dealer_bytes`` the packets of one query together; ``setup_bytes`` everything sent once per deployment
    (provider's packets, parameter packets, opening of the masked weights). ``ring_macs`` are the
    multiplications of one party between input and answer.

    ``memory`` bounds the arrays that one party holds.
    """

    rounds: int
    online_bytes_per_party: int
    dealer_bytes: int
    setup_bytes: int
    ring_macs: int
    memory: Memory


@dataclass(frozen=True, slots=True)
class Port:
    """A named input or output: shape and fraction bits."""

    name: str
    shape: Shape
    scale: int


@dataclass(frozen=True)
class Program:
    """What ``compile_plan`` makes; see there. Frozen, and safe to share between threads."""

    parties: int
    batch: int
    fraction_bits: int
    width: int
    levels: int
    input: Port
    output: Port
    parameters: tuple[Parameter, ...]
    registers: tuple[Register, ...]
    gates: tuple[Gate, ...]
    manifest: tuple[Slot, ...]
    setup_manifest: tuple[Slot, ...]
    costs: Costs

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """List for each register the numbers of the gates that take it, in order."""
        readers: list[list[int]] = [[] for _ in self.registers]
        for at, gate in enumerate(self.gates):
            for register in set(gate.sources):
                readers[register].append(at)
        return tuple(map(tuple, readers))

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical description: equal exactly where every message is compatible."""
        return _digest({"version": VERSION, **_described(self)})

    @cached_property
    def setup_digest(self) -> str:
        """Hex SHA-256 of what the set-up depends on: parameters and parties, not the batch size."""
        return _digest(
            {"version": VERSION, "parties": self.parties, "parameters": [asdict(p) for p in self.parameters]}
        )


def _described(program: Program) -> dict[str, object]:
    return {
        "parties": program.parties,
        "batch": program.batch,
        "fraction_bits": program.fraction_bits,
        "width": program.width,
        "levels": program.levels,
        "input": asdict(program.input),
        "output": asdict(program.output),
        "parameters": [asdict(parameter) for parameter in program.parameters],
        "registers": [asdict(register) for register in program.registers],
        "gates": [{"gate": type(gate).__name__, **asdict(gate)} for gate in program.gates],
        "manifest": [asdict(slot) for slot in program.manifest],
    }


def _digest(description: dict[str, object]) -> str:
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), default=bytes.hex)
    return hashlib.sha256(text.encode()).hexdigest()
