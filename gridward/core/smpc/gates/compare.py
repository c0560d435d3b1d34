"""Comparison of public words with shared ones: shares of [P < rho] on low bits, without learning rho.

The dealer shares every block of rho one-hot, so that less and equal of a block are look-ups in public places;
``comparison`` lays out blocks and merging. Bits come in rows: less of every block, then equal of every block.
"""

from collections.abc import Generator, Iterable
from functools import lru_cache
from itertools import accumulate

import numpy as np

from gridward.core.smpc.comparison import Comparison, Merge, Term
from gridward.core.smpc.correlations import SlotArray
from gridward.core.smpc.kernels.seam import Merging, Places
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import BitArray, RingArray
from gridward.core.smpc.session import Opening, Session

_KEPT = 256


def less_than(
    session: Session, gate: int, words: RingArray, plan: Comparison, times: int = 1
) -> Generator[Opening, SlotArray, BitArray]:
    """Share [P < rho] for the low bits of public ``words`` (n,): gives XOR shares, (bytes of n bits,).

    The masks rho serve ``times`` runs of n / ``times`` words, one after another.

    Security: opens bits masked by dealer bits. Cost: one round a level of ``plan``; its variables' bits.
    """
    return (yield from merged(session, gate, compare_blocks(session, gate, words, plan, times), plan))


def compare_blocks(
    session: Session, gate: int, words: RingArray, plan: Comparison, times: int = 1
) -> BitArray:
    """Compare block by block, see ``less_than``: rows of less, then of equal. Opens nothing."""
    tables = [session.part(gate, f"block{at}") for at in range(len(plan.blocks))]
    if times > 1:
        tables = [np.tile(table, times) for table in tables]
    return session.kernels.look_up(words, tables, *blocks(plan))


def merged(
    session: Session, gate: int, bits: BitArray, plan: Comparison
) -> Generator[Opening, SlotArray, BitArray]:
    """Merge what ``compare_blocks`` gave, see ``less_than``."""
    kernels = session.kernels
    for depth in range(len(plan.levels)):
        basis = _basis(session, gate, plan, depth)
        level = merging(plan, depth)
        opened = yield Opening(SlotKind.XOR, kernels.hide(bits, level, basis))
        bits = kernels.merge(opened.astype(np.uint8, copy=False), level, basis, bits)
    result: BitArray = bits[0]
    return result


def _basis(session: Session, gate: int, plan: Comparison, depth: int) -> BitArray:
    """Lay ones (on party 0), the masks of a level and their products under one another."""
    level = plan.levels[depth]
    names = [f"merge{depth}.{at}" for at in range(len(level))]
    names += [f"products{depth}.{at}" for at in range(len(level))]
    counts = [merge.variables for merge in level] + [len(merge.products) for merge in level]
    basis = np.empty((1 + sum(counts), session.supply.shape(gate, names[0])[1]), dtype=np.uint8)
    basis[0] = 0xFF if session.first else 0
    begin = 1
    for name, count in zip(names, counts, strict=True):
        session.supply.take_into(gate, name, basis[begin : begin + count])
        begin += count
    return basis


def _places(values: list[int]) -> Places:
    return np.array(values, dtype=np.int64)


@lru_cache(maxsize=_KEPT)
def blocks(plan: Comparison) -> tuple[Places, Places]:
    """Give the lowest bit of each block, and its number of bits."""
    lows, sizes = zip(*plan.blocks, strict=True)
    return _places(list(lows)), _places(list(sizes))


@lru_cache(maxsize=_KEPT)
def subsets(merge: Merge) -> Places:
    """Give the subsets of masks whose products the dealer shares, as bit sets."""
    return _places([_bit_set(subset) for subset in merge.products])


@lru_cache(maxsize=_KEPT)
def merging(plan: Comparison, depth: int) -> Merging:
    """Lay out one level. Its basis has ones (on party 0), then all masks, then all products of masks."""
    level = plan.levels[depth]
    groups = len(level)
    total = sum(merge.blocks for merge in level)
    first_block = list(accumulate((merge.blocks for merge in level), initial=0))
    first_mask = list(accumulate((merge.variables for merge in level), initial=0))
    first_product = list(accumulate((len(merge.products) for merge in level), initial=1 + first_mask[-1]))
    picks: list[int] = []
    entries: list[tuple[int, int, int]] = []
    for at, merge in enumerate(level):
        start = first_block[at]
        picks += range(total + start, total + start + merge.equals)
        picks += range(start + 1, start + merge.blocks)
        for to, terms in ((at, merge.less), (groups + at, merge.equal)):
            entries += [
                (_row(merge, known, 1 + first_mask[at], first_product[at]), factors << first_mask[at], to)
                for known, factors in expansion(terms)
            ]
    rows, factors, outs = zip(*entries, strict=True)
    masks = list(range(1, 1 + first_mask[-1]))
    return Merging(
        _places(picks),
        _places(masks),
        _places(first_block[:-1]),
        _places(list(rows)),
        _places(list(factors)),
        _places(list(outs)),
    )


def expansion(terms: tuple[Term, ...]) -> list[tuple[Term, int]]:
    """Expand products of u_i = d_i ^ a_i: each subset of masks a, and the bit set of the d_i it goes with."""
    return [
        (subset, _bit_set(item for item in term if item not in subset))
        for term in terms
        for chosen in range(1 << len(term))
        for subset in [tuple(item for at, item in enumerate(term) if chosen >> at & 1)]
    ]


def _bit_set(items: Iterable[int]) -> int:
    return sum(1 << item for item in items)


def _row(merge: Merge, subset: Term, first_mask: int, first_product: int) -> int:
    if not subset:
        return 0
    if len(subset) == 1:
        return first_mask + subset[0]
    return first_product + merge.products.index(subset)
