"""Programs of one gate under test: the input, what a test emits, the output."""

from collections.abc import Callable

from gridward.core.smpc.correlations import manifest
from gridward.core.smpc.costs import count_costs
from gridward.core.smpc.gate import Input, Output
from gridward.core.smpc.lowering import Lowering, MaxForm
from gridward.core.smpc.program import Form, Port, Program, Register


def handmade(
    emit: Callable[[Lowering, int], int],
    count: int,
    parties: int = 2,
    fraction_bits: int = 1,
    width: int = 32,
    levels: int = 2,
) -> Program:
    """Compile what ``emit`` makes of an input of ``count`` values; the input is gate 0."""
    low = Lowering(count, fraction_bits, width, levels, {}, MaxForm.TREE, frozenset(), {}, {}, False)
    source = low.emit(Register((count,), fraction_bits, Form.WIRE), lambda out: Input((), out))
    made = emit(low, source)
    held = low.registers[made]
    low.emit(Register(held.shape, held.scale, Form.SHARE), lambda out: Output((made,), out, "output"))
    gates, registers = tuple(low.gates), tuple(low.registers)
    slots = manifest(gates, registers)
    return Program(
        parties=parties,
        batch=count,
        fraction_bits=fraction_bits,
        width=width,
        levels=levels,
        input=Port("x", (count,), fraction_bits),
        output=Port("output", held.shape, held.scale),
        parameters=(),
        registers=registers,
        gates=gates,
        manifest=slots,
        setup_manifest=(),
        costs=count_costs(gates, registers, (), slots, parties),
    )
