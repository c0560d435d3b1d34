"""The state of a compilation: plan values as registers, gates in order, conversions made once, on demand.

Scales are fraction bits. Products have twice as many as their operands; they are truncated where a gate needs
them back in range, never earlier, so that biases, residual sums and averages come before the truncation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.core.plans.plan import Dim, Ref, Step
from gridward.core.plans.table import SPECS
from gridward.core.smpc.gate import Gate, Open, Relu, Shape, Truncate, TruncateFaithful
from gridward.core.smpc.program import Form, Parameter, Register, StepWidth
from gridward.core.smpc.recipe import Part, Recipe
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS

SLACK_BITS = 8
"""A wire may have so many fraction bits too many (from averages) before it is truncated."""

LEAST_BITS: Final = 2
"""A comparison has a sign and a bit."""

GUARD_WORDS: Final = (16, 32)
GUARD_SPARE: Final = 5
"""A guard looks at so many bits, the fewer where they are those of the program's width and some to spare."""


class MaxForm(StrEnum):
    """How the largest of several values is found.

    TREE: rounds of neighbours, fewest comparisons. PAIRS: all pairs at once, fewest rounds. FITTING: pairs
    where there are few candidates and few maxima, as the program's shapes say.
    """

    TREE = "tree"
    PAIRS = "pairs"
    FITTING = "fitting"


class UnsupportedError(Exception):
    """A step that has no encrypted meaning; collected by ``compile_plan`` and reported with all others."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A plan value that the parties hold. ``relu``: a ReLU kept back, because a max-pool may come first.

    ``exposed``: a rounding error of this value may be seen by the client, so its truncation is faithful.
    """

    register: int
    relu: bool
    exposed: bool


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter, perhaps transposed or viewed; with a ``recipe`` it is derived from the named one."""

    name: str
    shape: Shape
    transposed: bool = False
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True)
class Public:
    """A value that is in the plan."""

    array: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Missing:
    """The result of an unsupported step, or one that encrypted runs do not compute."""

    why: str


Value: TypeAlias = Secret | Weight | Public | Missing


@dataclass(slots=True)
class Lowering:
    """What has been compiled so far.

    ``readers`` names the steps that read a value, None for the client; ``floored`` the registers that hold
    no negative value, ``normed`` the values that a norm behind them is already in, ``hidden`` the places
    that a mask leaves out. ``line`` is what is being compiled, ``origins`` what each register was made for;
    truncating or opening a value leaves it that one's.
    """

    batch: int
    fraction_bits: int
    width: int
    levels: int
    weight_shapes: dict[str, Shape]
    maxima: MaxForm
    exposed_names: frozenset[str]
    readers: Mapping[str, Sequence[Step | None]]
    widths: Mapping[str, StepWidth]
    guard: bool
    values: dict[str, Value] = field(default_factory=dict)
    registers: list[Register] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    floored: set[int] = field(default_factory=set)
    normed: set[str] = field(default_factory=set)
    hidden: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    line: str = ""
    origins: list[str] = field(default_factory=list)
    compared: set[int] = field(default_factory=set)
    _made: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def max_scale(self) -> int:
        """The most fraction bits that leave a value of ``width`` bits below 2^61."""
        return 62 - (self.width - self.fraction_bits)

    @property
    def wire_scale(self) -> int:
        """The most fraction bits of an operand of a product, always fewer than those of a product."""
        room = self.max_scale - 2 * self.fraction_bits
        return self.fraction_bits + min(SLACK_BITS, self.fraction_bits // 2, room)

    def emit(self, register: Register, gate: Callable[[int], Gate]) -> int:
        """Append a gate that makes ``register``; give its number."""
        return self._place(register, gate, self.line)

    def _place(self, register: Register, gate: Callable[[int], Gate], origin: str) -> int:
        out = len(self.registers)
        self.registers.append(register)
        self.gates.append(gate(out))
        self.origins.append(origin)
        return out

    def parameter(self, weight: Weight, scale: int, masked: bool) -> int:
        """Give the number of a parameter at a scale, listing it on first use."""
        recipe = weight.recipe
        if recipe is None or recipe.part is Part.SCALED:
            wanted = Parameter(weight.name, self.weight_shapes[weight.name], scale, masked, recipe)
        else:
            wanted = Parameter(recipe.name, (prod(weight.shape),), scale, masked, recipe)
        if wanted not in self.parameters:
            self.parameters.append(wanted)
        return self.parameters.index(wanted)

    def share(self, value: Secret) -> int:
        """Give a register of the value that counts as a share: a pending ReLU is done."""
        return self.relu(value) if value.relu else value.register

    def in_range(self, value: Secret, most: int | None = None) -> int:
        """Give the share truncated where it has more fraction bits than ``most``, or than a wire may have."""
        register = self.share(value)
        if self.registers[register].scale <= (self.wire_scale if most is None else most):
            return register
        # apart by exposure: one register may serve a value whose rounding shows and one whose does not
        kind = "truncate faithfully" if value.exposed else "truncate"
        return self._once(kind, register, lambda: self._truncate(register, value.exposed))

    def wire(self, value: Secret, most: int | None = None) -> int:
        """Give the value as an operand of a product: a wire with a mask of its own."""
        register = self.in_range(value, most)
        return register if self.registers[register].form is Form.WIRE else self._open(register)

    def wires(self, left: Secret, right: Secret) -> tuple[int, int]:
        """Give two values as wires whose product still leaves room for its truncation."""
        a, b = self.wire(left), self.wire(right)
        if self.registers[a].scale + self.registers[b].scale <= self.max_scale:
            return a, b
        return self.wire(left, self.fraction_bits), self.wire(right, self.fraction_bits)

    def comparable(self, value: Secret) -> int:
        """Give the value, without its pending ReLU, as public words less a mask."""
        register = self.in_range(Secret(value.register, False, value.exposed))
        return self._open(register) if self.registers[register].form is Form.SHARE else register

    def relu(self, value: Secret, spare: int = 0) -> int:
        """Emit the ReLU of the value's register, which may take ``spare`` bits more than others."""
        source = self.comparable(value)
        held = self.registers[source]
        bits = self.bits(source) + spare
        guard = self.guard_bits(source, bits)
        out = self._once(
            f"relu of {bits} bits",
            source,
            lambda: self.emit(
                Register(held.shape, held.scale, Form.SHARE),
                lambda out: Relu((source,), out, bits, self.levels, guard),
            ),
        )
        self.floored.add(out)
        return out

    def bits(self, register: int) -> int:
        """Say how many bits a value that is to be compared takes, sign included."""
        self.compared.add(register)
        known = self.widths.get(self.origins[register])
        bits = self.width if known is None else known.bits
        return max(LEAST_BITS, bits + self.registers[register].scale - self.fraction_bits)

    def guard_bits(self, register: int, bits: int) -> int:
        """Say how many bits above ``bits`` a comparison of a register is to find out about.

        None where the width is proved, or where no truncated value can have more. What the program's width
        allows is found out with bits to spare, see ``gates.guard``.
        """
        held, known = self.registers[register], self.widths.get(self.origins[register])
        room = RING_BITS - held.carry_bits - bits
        if not self.guard or (known is not None and known.proved) or room < HEADROOM_BITS:
            return 0
        beyond = self.width + held.scale - self.fraction_bits - bits
        return min(room, GUARD_WORDS[beyond > GUARD_WORDS[0] - GUARD_SPARE])

    def _truncate(self, source: int, exposed: bool) -> int:
        held = self.registers[source]
        shift = held.scale - self.fraction_bits
        if exposed:
            register = Register(held.shape, self.fraction_bits, Form.SHARE)
            return self._place(
                register,
                lambda out: TruncateFaithful((source,), out, shift, self.levels),
                self.origins[source],
            )
        register = Register(held.shape, self.fraction_bits, Form.TRUNCATED, shift)
        return self._place(register, lambda out: Truncate((source,), out, shift), self.origins[source])

    def _open(self, source: int) -> int:
        held = self.registers[source]
        register = Register(held.shape, held.scale, Form.WIRE)
        origin = self.origins[source]
        return self._once(
            "open", source, lambda: self._place(register, lambda out: Open((source,), out), origin)
        )

    def _once(self, kind: str, source: int, make: Callable[[], int]) -> int:
        if (kind, source) not in self._made:
            self._made[kind, source] = make()
        return self._made[kind, source]


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one step by name, checked as they are read."""

    step: Step
    lowering: Lowering

    def _raw(self, name: str) -> object:
        at = SPECS[self.step.op].position(name)
        if at is None:
            raise UnsupportedError(f"has no argument {name!r}")
        return self.step.args[at] if at < len(self.step.args) else None

    def name(self, argument: str) -> str | None:
        """Give the name of the plan's value that an argument is."""
        raw = self._raw(argument)
        return raw.name if isinstance(raw, Ref) else None

    def known_but(self, name: str) -> bool:
        """Say whether all that the step reads, but for one value, was compiled before."""
        read = {argument.name for argument in self.step.args if isinstance(argument, Ref)}
        return read - {name} <= self.lowering.values.keys()

    def only_reader(self) -> Step | None:
        """Give the one step that reads this step's first result, if nothing else does, nor the client."""
        readers = self.lowering.readers.get(self.step.out[0], ())
        return readers[0] if len(readers) == 1 else None

    def value(self, name: str) -> Value | None:
        """Read a tensor, or a number as a public value; None where it is absent."""
        raw = self._raw(name)
        if raw is None:
            return None
        if isinstance(raw, Ref):
            return self.lowering.values[raw.name]
        if isinstance(raw, (int, float)):
            return Public(np.asarray(float(raw)))
        raise UnsupportedError(f"argument {name!r} is no tensor")

    def secret(self, name: str) -> Secret:
        """Read a tensor that must be encrypted."""
        value = self.value(name)
        if not isinstance(value, Secret):
            raise UnsupportedError(f"argument {name!r} must depend on the query")
        return value

    def weight(self, name: str) -> Weight:
        """Read a tensor that must be a parameter."""
        value = self.value(name)
        if not isinstance(value, Weight):
            raise UnsupportedError(f"argument {name!r} must be a parameter of the model")
        return value

    def sizes(self, name: str) -> tuple[int, ...]:
        """Read a list of sizes, the batch filled in."""
        raw = self._raw(name)
        if not isinstance(raw, tuple):
            raise UnsupportedError(f"argument {name!r} is no list")
        return tuple(self.lowering.batch if isinstance(size, Dim) else _integer(size) for size in raw)

    def pair(self, name: str, default: tuple[int, int], least: int = 1) -> tuple[int, int]:
        """Read one or two integers, for rows and columns, not below ``least``."""
        raw = self._raw(name)
        if raw is None or raw == ():
            return default
        sizes = self.sizes(name)
        if len(sizes) not in (1, 2) or min(sizes) < least:
            raise UnsupportedError(f"argument {name!r} must be one or two integers from {least} up")
        return sizes[0], sizes[-1]

    def axis(self, name: str, rank: int) -> int:
        """Read one axis out of ``rank``."""
        axis = int(self.number(name, 0.0))
        if not -rank <= axis < rank:
            raise UnsupportedError(f"argument {name!r} is {axis}, of {rank} axes")
        return axis % rank

    def places(self, name: str, rank: int) -> tuple[int, ...]:
        """Read a list of axes out of ``rank``, in order; all of them where it is absent."""
        raw = self._raw(name)
        axes = range(rank) if raw is None else [axis % max(rank, 1) for axis in self.sizes(name)]
        if len(set(axes)) != len(axes) or (rank == 0 and axes):
            raise UnsupportedError(f"argument {name!r} names an axis twice")
        return tuple(sorted(axes))

    def secrets(self, name: str) -> tuple[Secret, ...]:
        """Read a list of tensors that must be encrypted."""
        raw = self._raw(name)
        items = raw if isinstance(raw, tuple) else ()
        values = [self.lowering.values[item.name] for item in items if isinstance(item, Ref)]
        held = tuple(value for value in values if isinstance(value, Secret))
        if not held or len(held) != len(items):
            raise UnsupportedError(f"every tensor of {name!r} must depend on the query")
        return held

    def number(self, name: str, default: float) -> float:
        """Read a number."""
        raw = self._raw(name)
        if raw is None:
            return default
        if isinstance(raw, (int, float)):
            return float(raw)
        raise UnsupportedError(f"argument {name!r} is no number")

    def text(self, name: str, default: str) -> str:
        """Read one of an argument's words."""
        raw = self._raw(name)
        return default if raw is None else str(raw)

    def flag(self, name: str, default: bool) -> bool:
        """Read a truth value."""
        raw = self._raw(name)
        return default if raw is None else bool(raw)


def _integer(size: object) -> int:
    if isinstance(size, int):
        return size
    raise UnsupportedError("a size is no integer")
