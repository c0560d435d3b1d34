"""The largest of several masked values in a few rounds: all pairs are compared at once.

A winner's bit is the product of the comparisons it took part in. Those bits are opened behind dealer bits,
one for each candidate but the last, and choose among the differences to the last (``pairing``).
"""

from collections.abc import Generator, Sequence

import numpy as np

from gridward.core.smpc.comparison import Merge
from gridward.core.smpc.correlations import SIDES, SlotArray, compared, pairing_of
from gridward.core.smpc.gate import PairsMax
from gridward.core.smpc.gates.compare import less_than, merging
from gridward.core.smpc.pairing import Pairing
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import BitArray, RingArray, pack_bits, unpack_bits
from gridward.core.smpc.session import Held, Opening, Session, Steps


def pairs_max(at: int, gate: PairsMax, session: Session) -> Steps:
    """Give the largest on the first axis, and of 0 with ``floor``.

    Security: opens bits masked by dealer bits. Cost: 1 round a level of the comparison, 1 a level of the
    products, and 1; their bits. Scale: kept; differences take ``bits`` bits at most.
    """
    (source,) = gate.sources
    held, public = session.values[source], session.public(source)
    plan = pairing_of(gate, session.program.registers[source])
    rest = public[0].size
    wins = yield from _wins(at, gate, session, plan, differences(plan, with_floor(gate, public)))
    masked = pack_bits(unpack_bits(wins, rest).reshape(1, -1)) ^ session.part(at, "flip")
    if session.first:
        masked = ~masked  # a selection keeps what its bit does not take away
    flips = yield Opening(SlotKind.XOR, masked)
    chosen = session.kernels.select(
        np.ascontiguousarray(beyond_last(gate, held.share)).reshape(-1),
        np.ascontiguousarray(beyond_last(gate, public)).reshape(-1),
        session.words(at, "beta"),
        session.words(at, "beta_mask"),
        flips[0].astype(np.uint8, copy=False),
        _carried(at, gate, session),
    )
    total = np.zeros_like(public[0]) if gate.floor else held.share[-1].copy()
    for part in chosen.reshape(plan.winners, *public.shape[1:]):
        total += part
    return Held(total)


def with_floor(gate: PairsMax, words: RingArray) -> RingArray:
    """Add the candidate 0 where the gate has it: words, masks and shares of it are all 0."""
    return np.concatenate([words, np.zeros_like(words[:1])]) if gate.floor else words


def differences(plan: Pairing, words: RingArray) -> RingArray:
    """Give the differences of all pairs, flat."""
    left, right = (list(places) for places in zip(*plan.pairs, strict=True))
    return np.ascontiguousarray(words[left] - words[right]).reshape(-1)


def beyond_last(gate: PairsMax, words: RingArray) -> RingArray:
    """Give how far each winner lies beyond the last candidate."""
    return words if gate.floor else words[:-1] - words[-1]


def sides(gate: PairsMax, words: SlotArray) -> list[SlotArray]:
    """Give what belongs to each winner and, where the last candidate is one, what belongs to that."""
    if gate.floor:
        return [words]
    return [words[:-1], np.broadcast_to(words[-1], words[:-1].shape)]


def win_products(plan: Pairing, pairs: BitArray, factors: Sequence[BitArray]) -> list[BitArray]:
    """Give each level's products of masks: ``pairs`` masks the comparisons, ``factors`` what follows."""
    rows = [pairs[list(deciding)] for deciding in plan.deciding]
    levels = []
    for depth, level in enumerate(plan.levels):
        if depth:
            rows = list(factors[depth - 1].reshape(plan.winners, -1, pairs.shape[1]))
        groups = [group for own in rows for group in zip(_cut(own, level), level, strict=True)]
        products = [
            np.bitwise_and.reduce(masks[list(subset)], axis=0)
            for masks, merge in groups
            for subset in merge.products
        ]
        levels.append(np.array(products, dtype=np.uint8).reshape(len(products), pairs.shape[1]))
    return levels


def _cut(rows: BitArray, level: Sequence[Merge]) -> list[BitArray]:
    ends = np.cumsum([merge.variables for merge in level])[:-1]
    return np.split(rows, ends)


def _wins(
    at: int, gate: PairsMax, session: Session, plan: Pairing, flat: RingArray
) -> Generator[Opening, SlotArray, BitArray]:
    """Share, for each winner, whether it won: (winners, bytes)."""
    sign = yield from less_than(session, at, flat, compared(gate))
    if session.first:
        sign = sign ^ session.kernels.pack_bit(flat, gate.bits - 1)
    count = len(plan.pairs)
    rows = pack_bits(unpack_bits(sign, flat.size).reshape(count, -1)) ^ session.bits(at, "top")
    masks = session.bits(at, "pair")
    opened: SlotArray = yield Opening(SlotKind.XOR, rows ^ masks)
    bits = opened.astype(np.uint8, copy=False)
    factors = [
        (bits[list(places)] ^ (np.array(flips, dtype=np.uint8) * 0xFF)[:, None], masks[list(places)])
        for places, flips in zip(plan.deciding, plan.flips, strict=True)
    ]
    wins = _multiplied(session, at, 0, plan, factors)
    for depth in range(1, len(plan.levels)):
        masks = session.bits(at, f"factor{depth}")
        opened = yield Opening(SlotKind.XOR, wins ^ masks)
        known = opened.astype(np.uint8, copy=False).reshape(plan.winners, -1, masks.shape[1])
        own = masks.reshape(known.shape)
        wins = _multiplied(session, at, depth, plan, list(zip(known, own, strict=True)))
    return wins


def _multiplied(
    session: Session, at: int, depth: int, plan: Pairing, factors: Sequence[tuple[BitArray, BitArray]]
) -> BitArray:
    """Expand the products of one level: for each winner one row a group."""
    level, layout = plan.levels[depth], merging(plan.layout, depth)
    products = np.split(session.bits(at, f"wins{depth}"), plan.winners)
    ones = np.full((1, products[0].shape[1]), 0xFF if session.first else 0, dtype=np.uint8)
    nothing = np.zeros((len(level), ones.shape[1]), dtype=np.uint8)
    return np.concatenate(
        [
            session.kernels.merge(known, layout, np.concatenate([ones, masks, own]), nothing)[len(level) :]
            for (known, masks), own in zip(factors, products, strict=True)
        ]
    )


def _carried(at: int, gate: PairsMax, session: Session) -> tuple[RingArray, SlotArray] | None:
    """Give the coefficients of a chosen difference's carries; both sides' in one, where there are two."""
    coefficient = session.coefficient(gate.sources[0])
    if coefficient is None:
        return None
    first, *last = (part.reshape(-1) for part in sides(gate, coefficient))
    carry = session.flat(at, SIDES[0])
    if not last:
        return first, carry
    minus = last[0] * session.words(at, SIDES[1])
    return np.ones_like(first), first * carry.astype(np.uint64) - minus
