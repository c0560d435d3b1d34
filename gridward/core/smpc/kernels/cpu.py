"""The kernels for one core. They release the GIL, so that parties and queries run side by side.

No kernel is ``parallel``: Numba's default pool aborts the process when two threads enter it at once, and
services call these from several.
"""

from dataclasses import dataclass

import numpy as np

from gridward.core.smpc.kernels import bits, dealing, gathers, gemm, tables, updates, words
from gridward.core.smpc.kernels.paces import Paces, ways
from gridward.core.smpc.kernels.seam import Gather, Operand
from gridward.core.smpc.kernels.tile_intrinsics import DEPTH, ROWS
from gridward.core.smpc.ring import RingArray

matmul = gemm.matmul
fix = gemm.Fixed
multiply = gemm.multiply
add_mask = words.add_mask
truncate = words.truncate
select = words.select
larger = words.larger
look_up = bits.look_up
hide = bits.hide
merge = bits.merge
pack_bit = bits.pack_bit
set_blocks = dealing.set_blocks
set_products = dealing.set_products
set_selection = dealing.set_selection
set_carry = dealing.set_carry
set_truncation = dealing.set_truncation
read_table = tables.read_table
weigh_bits = tables.weigh_bits
quantise_less = updates.quantise_less
add_short = updates.add_short


@dataclass(frozen=True, slots=True)
class Tuned:
    """These kernels, with products chosen by what was measured on this machine."""

    paces: Paces

    def matmul(self, a: RingArray, b: RingArray) -> RingArray:
        """Multiply two matrices; see ``Kernels.matmul``."""
        return gemm.matmul(a, b, self.paces)

    def multiply(self, operand: Operand, words: RingArray, gather: Gather, out: RingArray) -> None:
        """Add a product; see ``Kernels.multiply``."""
        gemm.multiply(operand, words, gather, out, self.paces)

    fix = staticmethod(fix)
    add_mask = staticmethod(add_mask)
    truncate = staticmethod(truncate)
    select = staticmethod(select)
    larger = staticmethod(larger)
    look_up = staticmethod(look_up)
    hide = staticmethod(hide)
    merge = staticmethod(merge)
    pack_bit = staticmethod(pack_bit)
    set_blocks = staticmethod(set_blocks)
    set_products = staticmethod(set_products)
    set_selection = staticmethod(set_selection)
    set_carry = staticmethod(set_carry)
    set_truncation = staticmethod(set_truncation)
    read_table = staticmethod(read_table)
    weigh_bits = staticmethod(weigh_bits)
    quantise_less = staticmethod(quantise_less)
    add_short = staticmethod(add_short)


def warm_up() -> None:
    """Have every kernel compiled, or loaded from the cache, and every way of a product run once.

    For a service's start, so that no query waits: seconds the first time on a machine, then a fraction.
    Importing this module compiles all but the tiles.
    """
    rows = np.ones((1, ROWS + 1, DEPTH + 1), dtype=np.uint64)
    columns = ROWS * 4 + 1
    moving = np.ones((DEPTH + 1) * columns, dtype=np.uint64)
    out = np.zeros((ROWS + 1) * columns, dtype=np.uint64)
    for way in ways():
        gemm.multiply_by(way, fix(rows), moving, gathers.of_transposed(DEPTH + 1, columns), out)
