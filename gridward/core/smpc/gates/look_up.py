"""A smooth function by a table of straight lines: y = c + d t, c and d read with a shared cell number.

x less the table's start is opened under a mask R. With P opened, cells are numbered j = (P >> s) - (R >> s),
the argument's own cell or the next one, and t = (P mod 2^s) - (R mod 2^s). The dealer shares the mask's cell
one-hot by XOR; turned by the public P >> s it is a one-hot of j, and a bit of the table is the parity of the
cells where it is set: no word travels. Each bit read is opened under a bit of the dealer, who shares that
bit, and its product with R mod 2^s, as ring words: so c, d and d t are linear.
"""

from collections.abc import Mapping

import numpy as np

from gridward.core.smpc.correlations import SlotArray, holder
from gridward.core.smpc.gate import LookUp
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import RING_BITS, BitArray, RingArray, signed, unpack_bits, unsigned, word
from gridward.core.smpc.session import Held, Opening, Session, Steps
from gridward.core.smpc.tabulation import Table, Tabulation, tabulate


def look_up(at: int, gate: LookUp, session: Session) -> Steps:
    """Read a curve.

    Security: opens the argument under a uniform mask, then bits masked by dealer bits. Which of two lines is
    read depends on the mask, and is public among the parties; with two sources on the argument alone.
    Cost: 2 rounds; the argument's bits as whole bytes of a word and the table's bits; dealer bytes 2^cells /
    8 for the one-hot, 8 a bit of an intercept, 16 a bit of a slope, and 8.
    Scale: ``tabulation.out_scale``.
    """
    wanted, table = gate.tabulation, tabulate(gate.tabulation)
    shape = session.share(gate.sources[0]).shape
    opened = yield Opening(SlotKind.SUM, _argument(gate, session) + session.part(at, "mask"))
    places, inner = _parts(gate, opened.astype(np.uint64, copy=False))
    read = session.kernels.read_table(_hot(at, session), places, table.columns)
    flips = yield Opening(SlotKind.XOR, read ^ session.part(at, "flips"))
    bits = flips.astype(np.uint8, copy=False)
    beta = session.part(at, "beta").astype(np.uint64, copy=False)
    one = np.full(places.size, int(session.first), dtype=np.uint64)
    split = table.intercept_bits
    share = session.kernels.weigh_bits(bits[:split], beta[:split], one) + one * word(table.intercept)
    share <<= np.uint64(wanted.shift - wanted.drop)
    if table.slope_bits:
        low = session.words(at, "low")
        crossed = session.part(at, "beta_low").astype(np.uint64, copy=False)
        slope = session.kernels.weigh_bits(bits[split:], beta[split:], one) + one * word(table.slope)
        lost = session.kernels.weigh_bits(bits[split:], crossed, low) + low * word(table.slope)
        share += inner * slope - lost
    return Held(share.reshape(shape))


def _argument(gate: LookUp, session: Session) -> SlotArray:
    share = session.share(gate.sources[0])
    if session.first:
        share = share - _start(gate)
    if len(gate.sources) == 2:
        return np.stack([share, session.share(gate.sources[1])])
    return share.astype(holder(gate.tabulation.argument_bits))


def _start(gate: LookUp) -> np.uint64:
    """Give the first argument of the table, or the number of its first cell."""
    wanted = gate.tabulation
    return word(wanted.low if len(gate.sources) == 1 else wanted.low >> wanted.shift)


def _hot(at: int, session: Session) -> RingArray:
    return session.part(at, "hot").astype(np.uint64, copy=False)


def _parts(gate: LookUp, words: RingArray) -> tuple[RingArray, RingArray]:
    """Cut masked arguments, or masks, into the cell's number and the place in the cell."""
    wanted = gate.tabulation
    cells = word((1 << wanted.index_bits) - 1)
    if len(gate.sources) == 2:
        return words[0].reshape(-1) & cells, words[1].reshape(-1)
    flat = words.reshape(-1)
    inner = (flat & word((1 << wanted.shift) - 1)) >> np.uint64(wanted.drop)
    return (flat >> np.uint64(wanted.shift)) & cells, inner


def corrections(gate: LookUp, mask: RingArray, flips: BitArray) -> Mapping[str, SlotArray]:
    """Give what the dealer shares of a mask and of the bits that hide what is read."""
    wanted, table = gate.tabulation, tabulate(gate.tabulation)
    cells, low = _parts(gate, mask)
    turned = (np.uint64(0) - cells) & word((1 << wanted.index_bits) - 1)
    hot = np.zeros((cells.size, wanted.words), dtype=np.uint64)
    hot[np.arange(cells.size), turned // RING_BITS] = np.uint64(1) << (turned % RING_BITS)
    beta = unpack_bits(flips, cells.size).astype(np.uint64)
    made: dict[str, SlotArray] = {"hot": hot, "beta": beta}
    if table.slope_bits:
        made |= {"low": low, "beta_low": beta[table.intercept_bits :] * low}
    return made


def covers(wanted: Tabulation, words: RingArray) -> bool:
    """Say whether every argument lies in the table."""
    values = signed(words)
    return bool(np.all((values >= wanted.low) & (values <= wanted.high)))


def in_clear(gate: LookUp, values: list[RingArray], mask: SlotArray | None) -> RingArray:
    """Read the curve of plain arguments in the lines that a mask chooses: without one, each in its own."""
    wanted, table = gate.tabulation, tabulate(gate.tabulation)
    moved = values[0] - _start(gate)
    if len(values) == 2:
        cells, inner = moved, values[1]
    else:
        keep = word((1 << wanted.argument_bits) - 1)
        hidden = np.zeros_like(moved) if mask is None else mask.astype(np.uint64).reshape(moved.shape)
        (there, inner), (theirs, low) = (_parts(gate, part) for part in ((moved + hidden) & keep, hidden))
        cells = (there - theirs) & word((1 << wanted.index_bits) - 1)
        inner = inner - low
    return _line(wanted, table, cells, inner).reshape(values[0].shape)


def _line(wanted: Tabulation, table: Table, cells: RingArray, inner: RingArray) -> RingArray:
    chosen = signed(cells)
    intercept = unsigned(table.intercepts[chosen] + table.intercept) << np.uint64(wanted.shift - wanted.drop)
    return intercept + unsigned(table.slopes[chosen] + table.slope) * inner
