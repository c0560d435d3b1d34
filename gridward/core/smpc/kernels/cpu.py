"""The kernels for one core. They release the GIL, so that parties and queries run side by side.

No kernel is ``parallel``: Numba's default pool aborts the process when two threads enter it at once, and
services call these from several.
"""

from gridward.core.smpc.kernels import bits, dealing, gemm, tables, words

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
