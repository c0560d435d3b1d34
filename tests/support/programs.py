"""Programs by hand: gates that no plan compiles to alone, for exhaustive checks and the cost of one gate."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import manifest
from gridward.core.smpc.costs import count_costs
from gridward.core.smpc.gate import Gate, Input, Output, Shape, Truncate, TruncateFaithful
from gridward.core.smpc.program import Form, Parameter, Port, Program, Register
from tests.support.parties import linear_plan


def program_of(
    gates: Sequence[Gate],
    registers: Sequence[Register],
    *,
    parties: int = 2,
    parameters: Sequence[Parameter] = (),
) -> Program:
    """Make a program of gates between an ``Input``, which makes register 0, and an ``Output``."""
    first, last = registers[0], registers[-1]
    whole = (Input((), 0), *gates, Output((len(registers) - 1,), len(registers), "y"))
    held = (*registers, Register(last.shape, last.scale, Form.SHARE))
    slots = manifest(whole, held)
    return replace(
        compile_plan(linear_plan(1, 1), batch=1, parties=parties),
        gates=whole,
        registers=held,
        manifest=slots,
        setup_manifest=(),
        parameters=tuple(parameters),
        input=Port("x", first.shape, first.scale),
        output=Port("y", last.shape, last.scale),
        costs=count_costs(whole, held, tuple(parameters), slots, parties),
    )


def wire(shape: Shape, scale: int = 16) -> Register:
    """A masked register."""
    return Register(shape, scale, Form.WIRE)


def share(shape: Shape, scale: int = 16) -> Register:
    """A shared register."""
    return Register(shape, scale, Form.SHARE)


def truncating(shape: Shape, shift: int, parties: int, *, levels: int | None = None) -> Program:
    """Divide the input by 2^shift: with a public coin, or faithfully by a comparison of ``levels``."""
    if levels is None:
        made = Register(shape, 0, Form.TRUNCATED, shift)
        return program_of([Truncate((0,), 1, shift)], [wire(shape, shift), made], parties=parties)
    gate = TruncateFaithful((0,), 1, shift, levels)
    return program_of([gate], [wire(shape, shift), share(shape, 0)], parties=parties)


def elements(register: Register) -> int:
    """Count the words of a register."""
    return prod(register.shape)
