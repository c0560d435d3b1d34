"""The largest of several masked values in a few rounds: all pairs are compared at once.

A winner's bit is the product of the comparisons it took part in. Those bits are opened behind dealer bits,
one for each candidate but the last, and choose among the differences to the last (``pairing``).
"""

from collections.abc import Generator, Sequence

import numpy as np

from gridward.core.smpc.comparison import Merge
from gridward.core.smpc.correlations import SlotArray, compared, pairing_of
from gridward.core.smpc.gate import PairsMax
from gridward.core.smpc.gates.compare import entries, less_than, mask_products, top_bits
from gridward.core.smpc.pairing import Pairing
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import BitArray, RingArray, pack_bits, unpack_bits, word
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
        session.words(at, "beta_mask") - _carried(at, gate, session, held),
        flips[0].astype(np.uint8, copy=False),
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


def win_products(plan: Pairing, pairs: BitArray, factors: Sequence[BitArray]) -> list[BitArray]:
    """Give each level's products of masks: ``pairs`` masks the comparisons, ``factors`` what follows."""
    rows = [pairs[list(deciding)] for deciding in plan.deciding]
    levels = []
    for depth, level in enumerate(plan.levels):
        if depth:
            rows = list(factors[depth - 1].reshape(plan.winners, -1, pairs.shape[1]))
        groups = [group for own in rows for group in zip(_cut(own, level), level, strict=True)]
        levels.append(np.concatenate([mask_products(masks, merge) for masks, merge in groups]))
    return levels


def _cut(rows: BitArray, level: Sequence[Merge]) -> list[BitArray]:
    ends = np.cumsum([merge.variables for merge in level])[:-1]
    return np.split(rows, ends)


def _wins(
    at: int, gate: PairsMax, session: Session, plan: Pairing, flat: RingArray
) -> Generator[Opening, SlotArray, BitArray]:
    """Share, for each winner, whether it won: (winners, bytes)."""
    low = flat & word((1 << (gate.bits - 1)) - 1)
    less = yield from less_than(session, at, low, compared(gate))
    sign = less ^ top_bits(flat, gate.bits) if session.first else less
    count = len(plan.pairs)
    rows = pack_bits(unpack_bits(sign, flat.size).reshape(count, -1)) ^ _bits(session, at, "top")
    masks = _bits(session, at, "pair")
    opened: SlotArray = yield Opening(SlotKind.XOR, rows ^ masks)
    bits = opened.astype(np.uint8, copy=False)
    factors = [
        (bits[list(places)] ^ (np.array(flips, dtype=np.uint8) * 0xFF)[:, None], masks[list(places)])
        for places, flips in zip(plan.deciding, plan.flips, strict=True)
    ]
    wins = _multiplied(session, at, 0, plan.levels[0], factors)
    for depth, level in enumerate(plan.levels[1:], start=1):
        masks = _bits(session, at, f"factor{depth}")
        opened = yield Opening(SlotKind.XOR, wins ^ masks)
        known = opened.astype(np.uint8, copy=False).reshape(plan.winners, -1, masks.shape[1])
        own = masks.reshape(known.shape)
        wins = _multiplied(session, at, depth, level, list(zip(known, own, strict=True)))
    return wins


def _multiplied(
    session: Session,
    at: int,
    depth: int,
    level: Sequence[Merge],
    factors: Sequence[tuple[BitArray, BitArray]],
) -> BitArray:
    """Expand the products of one level: for each winner one row a group."""
    products = _bits(session, at, f"wins{depth}")
    ones = np.full((1, products.shape[1]), 0xFF if session.first else 0, dtype=np.uint8)
    start, made = 0, []
    for known, masks in factors:
        for bits, own, merge in zip(_cut(known, level), _cut(masks, level), level, strict=True):
            basis = np.concatenate([ones, own, products[start : start + len(merge.products)]])
            start += len(merge.products)
            made.append(session.kernels.expand(bits, basis, *entries(merge, merge.equal)))
    return np.stack(made)


def _carried(at: int, gate: PairsMax, session: Session, held: Held) -> RingArray:
    if held.coefficient is None:
        return np.zeros(1, dtype=np.uint64)
    coefficient = held.coefficient if gate.floor else held.coefficient[:-1]
    carried = np.ascontiguousarray(coefficient).reshape(-1) * session.words(at, "beta_carry0")
    if not gate.floor:
        last: RingArray = np.broadcast_to(held.coefficient[-1], coefficient.shape).reshape(-1)
        carried = carried - last * session.words(at, "beta_carry1")
    return carried


def _bits(session: Session, at: int, name: str) -> BitArray:
    return session.part(at, name).astype(np.uint8, copy=False)
