"""A compiled encrypted computation: registers, gates in order, what it needs and costs. Pure data.

Everyone in a deployment compiles the same plan for themselves and compares ``digest``.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, TypeAlias

VERSION: Final = 1

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]


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

    ``masked`` ones are operands of products: their mask B comes from the dealer and W + B is opened once.
    """

    name: str
    shape: Shape
    scale: int
    masked: bool


@dataclass(frozen=True, slots=True)
class Input:
    """The client's value, which arrives as x + A."""

    sources: tuple[()]
    out: int


@dataclass(frozen=True, slots=True)
class Matmul:
    """Wire (rows, k) times weight (k, columns), or times its transpose where ``transposed``."""

    sources: tuple[int]
    out: int
    weight: int
    transposed: bool


@dataclass(frozen=True, slots=True)
class Convolution:
    """Wire (n, c, h, w) by weight (o, c / groups, kh, kw), as ``aten.convolution`` defines it."""

    sources: tuple[int]
    out: int
    weight: int
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


@dataclass(frozen=True, slots=True)
class AddParameter:
    """Add ``sign`` times a shared parameter, viewed as ``shape`` and broadcast."""

    sources: tuple[int]
    out: int
    parameter: int
    shape: Shape
    sign: int


@dataclass(frozen=True, slots=True)
class AddConstant:
    """Add public integers, little-endian words of ``shape``, broadcast."""

    sources: tuple[int]
    out: int
    words: bytes
    shape: Shape


@dataclass(frozen=True, slots=True)
class Add:
    """Sum of two values, each times a public integer, broadcast."""

    sources: tuple[int, int]
    out: int
    factors: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply by a public integer."""

    sources: tuple[int]
    out: int
    factor: int


@dataclass(frozen=True, slots=True)
class View:
    """The same words under the shape of ``out``."""

    sources: tuple[int]
    out: int


@dataclass(frozen=True, slots=True)
class Permute:
    """The axes in another order."""

    sources: tuple[int]
    out: int
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SumPool:
    """Sums over windows of the last two axes; padding counts as zero."""

    sources: tuple[int]
    out: int
    kernel: Pair
    stride: Pair
    padding: Pair


@dataclass(frozen=True, slots=True)
class Windows:
    """The candidates of a max-pool on a new first axis; padding repeats a value of the same window."""

    sources: tuple[int]
    out: int
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


@dataclass(frozen=True, slots=True)
class Truncate:
    """Divide by 2^shift, to the floor or one above; the rounding coin is public among the parties."""

    sources: tuple[int]
    out: int
    shift: int


@dataclass(frozen=True, slots=True)
class TruncateFaithful:
    """Divide by 2^shift to the floor, whatever the mask."""

    sources: tuple[int]
    out: int
    shift: int
    levels: int


@dataclass(frozen=True, slots=True)
class Open:
    """Turn a share into a wire with a fresh mask."""

    sources: tuple[int]
    out: int


@dataclass(frozen=True, slots=True)
class Relu:
    """The larger of x and 0, for -2^(bits-1) <= x < 2^(bits-1)."""

    sources: tuple[int]
    out: int
    bits: int
    levels: int


@dataclass(frozen=True, slots=True)
class PairMax:
    """The larger of neighbours 0|1, 2|3, ... on the first axis; an odd last one passes.

    Differences of neighbours take at most ``bits`` bits.
    """

    sources: tuple[int]
    out: int
    bits: int
    levels: int


@dataclass(frozen=True, slots=True)
class Output:
    """Shares that go to the client, made fresh by a sharing of zero."""

    sources: tuple[int]
    out: int
    name: str


Gate: TypeAlias = (
    Input
    | Matmul
    | Convolution
    | AddParameter
    | AddConstant
    | Add
    | Scale
    | View
    | Permute
    | SumPool
    | Windows
    | Truncate
    | TruncateFaithful
    | Open
    | Relu
    | PairMax
    | Output
)


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
class Costs:
    """What a deployment and one query cost, exactly; they depend on shapes only, never on values.

    ``online_bytes_per_party`` is what one party sends to its peers in one query, frame headers included;
    ``dealer_bytes`` the packets of one query together; ``setup_bytes`` everything sent once per deployment
    (provider's packets, parameter packets, opening of the masked weights). ``ring_macs`` are the
    multiplications of one party between input and answer.
    """

    rounds: int
    online_bytes_per_party: int
    dealer_bytes: int
    setup_bytes: int
    ring_macs: int


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
