"""Functions of straight pieces: clamps, stairs and residues, several of one value at the price of one.

With c_k = [x >= threshold k], a function of straight pieces is a line and the sum over k of c_k times a line.
All comparisons read the same tables of the value's mask; the product of c_k and x is local, since x is public
less a mask that the dealer knows.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.correlations import SlotArray, bends, compared
from gridward.core.smpc.gate import Piece, Piecewise
from gridward.core.smpc.gates.compare import less_than
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import BitArray, RingArray, signed, unpack_bits, word
from gridward.core.smpc.session import Held, Mask, Opening, Session, Steps


def piecewise(at: int, gate: Piecewise, session: Session) -> Steps:
    """Give all rows at once: (rows, shape of x).

    Security: opens bits masked by dealer bits. Cost: 1 round a level of the comparison, and 1; for each
    threshold the bits of a comparison, and 8 dealer bytes, 16 and a carry where a slope changes there.
    """
    held, public = session.values[gate.sources[0]], session.public(gate.sources[0]).reshape(-1)
    count = len(gate.thresholds)
    above = (public - _column(gate.thresholds)).reshape(-1)
    masked = (yield from less_than(session, at, above, compared(gate), count)) ^ session.bits(at, "flip")
    if session.first:
        masked ^= session.kernels.pack_bit(above, gate.bits - 1)
    opened = yield Opening(SlotKind.XOR, masked)
    flips = unpack_bits(opened[0].astype(np.uint8, copy=False), above.size).reshape(count, -1)
    beta = session.words(at, "beta").reshape(count, -1)
    steps = np.where(flips, beta, word(int(session.first)) - beta)
    share = held.share.reshape(-1)
    products = _products(at, gate, session, share, beta, flips)
    rows = [_row(line, share, steps, products, session.first) for line in gate.rows]
    return Held(np.stack(rows).reshape(len(gate.rows), *held.share.shape))


def _row(
    pieces: tuple[Piece, ...], share: RingArray, steps: RingArray, products: dict[int, RingArray], first: bool
) -> RingArray:
    offset, slope = pieces[0]
    row = share * word(slope) + word(offset if first else 0)
    for place, (offset, slope) in _changes(pieces):
        row += steps[place] * word(offset)
        if slope:
            row += products[place] * word(slope)
    return row


def _column(thresholds: tuple[int, ...]) -> RingArray:
    return np.array([word(threshold) for threshold in thresholds], dtype=np.uint64)[:, None]


def _changes(pieces: tuple[Piece, ...]) -> list[tuple[int, Piece]]:
    """List how offset and slope change at each threshold."""
    steps = enumerate(pairwise(pieces))
    return [(at, (right[0] - left[0], right[1] - left[1])) for at, (left, right) in steps]


def _products(
    at: int, gate: Piecewise, session: Session, share: RingArray, beta: RingArray, flips: NDArray[np.bool_]
) -> dict[int, RingArray]:
    """Share c_k x for the thresholds where a slope changes: by beta x = beta P - beta mask + beta carry."""
    places = bends(gate)
    if not places:
        return {}
    public = session.public(gate.sources[0]).reshape(-1)
    hidden = session.words(at, "beta_mask").reshape(len(places), -1)
    if (coefficient := session.coefficient(gate.sources[0])) is not None:
        hidden = hidden - coefficient.reshape(-1) * session.words(at, "beta_carry").reshape(hidden.shape)
    return {
        place: np.where(flips[place], product, share - product)
        for place, product in zip(places, beta[list(places)] * public - hidden, strict=True)
    }


def corrections(gate: Piecewise, mask: Mask, flips: BitArray, kernels: Kernels) -> Mapping[str, SlotArray]:
    """Give what the dealer shares besides the comparison: bits that hide each sign, and their products."""
    flat = np.ascontiguousarray(mask.words).reshape(-1)
    sign = unpack_bits(kernels.pack_bit(flat, gate.bits - 1), flat.size)
    beta = (unpack_bits(flips, flat.size * len(gate.thresholds)).reshape(-1, flat.size) ^ sign).astype(
        np.uint64
    )
    made: dict[str, SlotArray] = {"beta": beta}
    bent = beta[list(bends(gate))]
    if bent.size:
        made["beta_mask"] = bent * flat
        if mask.carry is not None:
            made["beta_carry"] = bent * np.ascontiguousarray(mask.carry).reshape(-1)
    return made


def in_clear(gate: Piecewise, words: RingArray) -> RingArray:
    """Compute all rows of plain values."""
    place = np.searchsorted(np.array(gate.thresholds, dtype=np.int64), signed(words), side="right")
    rows = []
    for pieces in gate.rows:
        offsets, slopes = (np.array([word(part) for part in column]) for column in zip(*pieces, strict=True))
        rows.append(offsets[place] + slopes[place] * words)
    return np.stack(rows)
