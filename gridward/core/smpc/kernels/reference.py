"""The kernels in plain NumPy: what every other implementation must equal, word for word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gridward.core.smpc.kernels.seam import Gather, Merging, Operand, Places, Reals, ShortWords, Table
from gridward.core.smpc.ring import (
    HEADROOM_BITS,
    RING_BITS,
    BitArray,
    RingArray,
    pack_bits,
    unpack_bits,
    word,
)


def matmul(a: RingArray, b: RingArray) -> RingArray:
    """Multiply two matrices; see ``Kernels.matmul``."""
    return a @ b


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A fixed operand as it is."""

    rows: RingArray


def fix(rows: RingArray) -> Words:
    """Prepare a fixed operand; see ``Kernels.fix``."""
    return Words(rows)


def multiply(operand: Operand, words: RingArray, gather: Gather, out: RingArray) -> None:
    """Add a product of gathered columns; see ``Kernels.multiply``."""
    columns = gather.taps[:, None] + gather.places[None, :]
    for group, rows in enumerate(operand.rows):
        lines = np.arange(len(rows))[:, None] * gather.row_stride + gather.targets[None, :]
        out[gather.outs[group] + lines] += rows @ words[gather.starts[group] + columns]


def add_mask(share: RingArray, mask: RingArray, offset: int) -> RingArray:
    """Mask a share; see ``Kernels.add_mask``."""
    return share + mask + np.uint64(offset)


def truncate(
    opened: RingArray, high: RingArray, carry: Table, shift: int, first: bool, ring_bits: int
) -> tuple[RingArray, BitArray, RingArray]:
    """Truncate with a public coin; see ``Kernels.truncate``."""
    reduced = opened & word((1 << ring_bits) - 1)
    public = (reduced >> np.uint64(shift)) - word(1 << (ring_bits - HEADROOM_BITS - shift))
    unwrapped = np.uint64(1) - (reduced >> np.uint64(ring_bits - 1))
    share = (unwrapped << np.uint64(ring_bits - shift)) * carry.astype(np.uint64) - high
    return public, unwrapped.astype(np.uint8), share + public if first else share


def look_up(words: RingArray, tables: Sequence[Table], lows: Places, bits: Places) -> BitArray:
    """Compare blocks; see ``Kernels.look_up``."""
    less, equal = [], []
    for table, low, size in zip(tables, lows.tolist(), bits.tolist(), strict=True):
        block = (words >> np.uint64(low)) & word((1 << size) - 1)
        held = (table.astype(np.uint64) & word((1 << (1 << size)) - 1)) >> block
        equal.append(pack_bits((held & np.uint64(1)).astype(np.bool_)))
        less.append(pack_bits((np.bitwise_count(held >> np.uint64(1)) & 1).astype(np.bool_)))
    return np.stack([*less, *equal])


def hide(bits: BitArray, merging: Merging, basis: BitArray) -> BitArray:
    """Mask the variables of a level; see ``Kernels.hide``."""
    return bits[merging.picks] ^ basis[merging.masks]


def merge(opened: BitArray, merging: Merging, basis: BitArray, bits: BitArray) -> BitArray:
    """Merge a level; see ``Kernels.merge``."""
    less = bits[merging.tops]
    out = np.concatenate([less, np.zeros_like(less)])
    for row, factors, to in zip(merging.rows, merging.factors, merging.outs, strict=True):
        chosen = [at for at in range(opened.shape[0]) if int(factors) >> at & 1]
        out[to] ^= np.bitwise_and.reduce(opened[chosen], axis=0, initial=0xFF) & basis[row]
    return out


def pack_bit(words: RingArray, bit: int) -> BitArray:
    """Pack one bit of every word; see ``Kernels.pack_bit``."""
    return pack_bits(((words >> np.uint64(bit)) & np.uint64(1)).astype(np.bool_))


def select(
    share: RingArray,
    public: RingArray,
    beta: RingArray,
    hidden: RingArray,
    flips: BitArray,
    carried: tuple[RingArray, Table] | None,
) -> RingArray:
    """Select by a masked bit; see ``Kernels.select``."""
    product = beta * public - hidden
    if carried is not None:
        coefficient, carry = carried
        product += coefficient * carry.astype(np.uint64)
    return np.where(unpack_bits(flips, share.size), product, share - product)


def larger(
    share: RingArray,
    public: RingArray,
    beta: RingArray,
    hidden: RingArray,
    flips: BitArray,
    carried: tuple[RingArray, Table, Table] | None,
) -> RingArray:
    """Select the larger of neighbours by a masked bit; see ``Kernels.larger``."""
    product = beta * public - hidden
    if carried is not None:
        coefficient, left, right = carried
        product += coefficient[:, 0] * left.astype(np.uint64) - coefficient[:, 1] * right.astype(np.uint64)
    chosen = unpack_bits(flips, public.size).reshape(public.shape)
    return share[:, 1] + np.where(chosen, product, share[:, 0] - share[:, 1] - product)


def set_blocks(words: RingArray, lows: Places, bits: Places, tables: Sequence[Table]) -> None:
    """Turn drawn tables into corrections; see ``Kernels.set_blocks``."""
    for low, size, table in zip(lows.tolist(), bits.tolist(), tables, strict=True):
        block = (words >> np.uint64(low)) & word((1 << size) - 1)
        table ^= (np.uint64(1) << block).astype(table.dtype)


def set_products(masks: BitArray, subsets: Places, products: BitArray) -> None:
    """Turn drawn products into corrections; see ``Kernels.set_products``."""
    for product, subset in zip(products, subsets.tolist(), strict=True):
        chosen = [at for at in range(len(masks)) if subset >> at & 1]
        product ^= np.bitwise_and.reduce(masks[chosen], axis=0)


def set_selection(
    words: RingArray, top: int, flips: BitArray, beta: RingArray, beta_mask: RingArray
) -> BitArray:
    """Turn drawn shares of a selection into corrections; see ``Kernels.set_selection``."""
    signs = unpack_bits(flips, words.size) ^ unpack_bits(pack_bit(words, top), words.size)
    bits = signs.astype(np.uint64)
    np.subtract(bits, beta, out=beta)
    np.subtract(bits * words, beta_mask, out=beta_mask)
    return signs.view(np.uint8)


def set_carry(signs: BitArray, carry: BitArray, part: Table) -> None:
    """Turn drawn shares of selected carries into corrections; see ``Kernels.set_carry``."""
    np.subtract((signs & carry).astype(part.dtype), part, out=part)


def set_truncation(mask: RingArray, shift: int, high: RingArray, carry: Table) -> tuple[RingArray, BitArray]:
    """Turn drawn shares of a truncation into corrections; see ``Kernels.set_truncation``."""
    upper, top = mask >> np.uint64(shift), (mask >> np.uint64(RING_BITS - 1)).astype(np.uint8)
    np.subtract(upper, high, out=high)
    np.subtract(top.astype(carry.dtype), carry, out=carry)
    return upper, top


def read_table(hot: RingArray, places: RingArray, columns: RingArray) -> BitArray:
    """Read tables at shared places; see ``Kernels.read_table``."""
    count, words = hot.shape
    rows, far, near = np.arange(count), (places >> np.uint64(6)).astype(np.int64), places & np.uint64(63)
    held = np.zeros((len(columns), count), dtype=np.uint64)
    for at in range(words):
        upper, lower = hot[rows, (at - far) % words], hot[rows, (at - far - 1) % words]
        turned = (upper << near) | ((lower >> np.uint64(1)) >> (np.uint64(63) - near))
        held ^= turned & columns[:, at, None]
    return pack_bits((np.bitwise_count(held) & 1).astype(np.bool_))


def weigh_bits(opened: BitArray, shares: RingArray, value: RingArray) -> RingArray:
    """Turn masked bits into words; see ``Kernels.weigh_bits``."""
    total = np.zeros_like(value)
    for at, bits in enumerate(unpack_bits(opened, value.size)):
        total += np.where(bits, value - shares[at], shares[at]) << np.uint64(at)
    return total


def quantise_less(values: Reals, factor: float, limit: int, words: ShortWords) -> None:
    """Turn masks into masked quantised values, in place; see ``Kernels.quantise_less``."""
    whole = np.clip(np.rint(values.astype(np.float64) * factor), -limit, limit).astype(np.int32)
    np.subtract(whole.view(np.uint32), words, out=words)


def add_short(total: ShortWords, words: ShortWords) -> None:
    """Add words of 32 bits, in place; see ``Kernels.add_short``."""
    np.add(total, words, out=total)
