"""What a party cannot do without at one moment: parameters, and the activations that are still needed."""

from math import prod

from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import WORD_BYTES


def live_bytes(program: Program) -> int:
    """Add one word for each parameter to the most words of registers that live at once, in bytes.

    A register lives from the gate that makes it to the last one that reads it. Masks, correlations and the
    second form of a value (its public words beside its share) are not counted: they are the protocol's own.
    """
    last = {source: at for at, gate in enumerate(program.gates) for source in gate.sources}
    words = [prod(register.shape) for register in program.registers]
    live = most = 0
    for at, gate in enumerate(program.gates):
        live += words[gate.out]
        most = max(most, live)
        live -= sum(words[source] for source in set(gate.sources) if last[source] == at)
        live -= 0 if gate.out in last else words[gate.out]
    parameters = sum(prod(parameter.shape) for parameter in program.parameters)
    return WORD_BYTES * (parameters + most)
