"""Comparison of public words with shared ones: shares of [P < rho] on low bits, without learning rho.

The dealer shares every block of rho one-hot, so that less and equal of a block are look-ups in public places;
``comparison`` lays out blocks and merging.
"""

from collections.abc import Generator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.comparison import Comparison, Merge, Term
from gridward.core.smpc.correlations import SlotArray
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import BitArray, RingArray, pack_bits, word
from gridward.core.smpc.session import Opening, Session

Entries = tuple[NDArray[np.int64], NDArray[np.int64]]


def one_hot(rho: RingArray, plan: Comparison, at: int, dtype: str) -> SlotArray:
    """Give the table of one block: bit v is set where the block is v."""
    low, size = plan.blocks[at]
    block = (rho >> np.uint64(low)) & word((1 << size) - 1)
    table: RingArray = np.uint64(1) << block
    return table.astype(dtype)


def mask_products(masks: BitArray, merge: Merge) -> BitArray:
    """Give the products of masks that a merge needs: (products, bytes)."""
    rows = [np.bitwise_and.reduce(masks[list(subset)], axis=0) for subset in merge.products]
    return np.stack(rows) if rows else np.zeros((0, masks.shape[1]), dtype=np.uint8)


def top_bits(words: RingArray, bits: int) -> BitArray:
    """Pack the bit number ``bits`` - 1 of each word."""
    return pack_bits(((words >> np.uint64(bits - 1)) & np.uint64(1)).astype(np.bool_))


def less_than(
    session: Session, gate: int, words: RingArray, plan: Comparison, times: int = 1
) -> Generator[Opening, SlotArray, BitArray]:
    """Share [P < rho] for public ``words`` (n,): gives XOR shares, (bytes of n bits,).

    The masks rho serve ``times`` runs of n / ``times`` words, one after another.

    Security: opens bits masked by dealer bits. Cost: one round a level of ``plan``; its variables' bits.
    """
    lows, sizes = zip(*plan.blocks, strict=True)
    tables = [np.tile(session.part(gate, f"block{at}"), times) for at in range(len(plan.blocks))]
    less, equal = session.kernels.look_up(words, tables, lows, sizes)
    for depth, level in enumerate(plan.levels):
        groups = _split(level, less, equal)
        masks = [_masks(session, gate, depth, at) for at in range(len(level))]
        hidden = [variables ^ mask for (variables, _), mask in zip(groups, masks, strict=True)]
        opened = yield Opening(SlotKind.XOR, np.concatenate(hidden))
        less, equal = _merge_level(session, gate, depth, level, groups, masks, opened)
    result: BitArray = less[0]
    return result


def _masks(session: Session, gate: int, depth: int, at: int) -> BitArray:
    return session.part(gate, f"merge{depth}.{at}").astype(np.uint8, copy=False)


def _split(level: Sequence[Merge], less: BitArray, equal: BitArray) -> list[tuple[BitArray, BitArray]]:
    """Give each group's variables and its top block's less."""
    groups = []
    start = 0
    for merge in level:
        rows = slice(start, start + merge.blocks)
        variables = np.concatenate([equal[rows][: merge.equals], less[rows][1:]])
        groups.append((variables, less[start]))
        start += merge.blocks
    return groups


def _merge_level(
    session: Session,
    gate: int,
    depth: int,
    level: Sequence[Merge],
    groups: list[tuple[BitArray, BitArray]],
    masks: list[BitArray],
    opened: SlotArray,
) -> tuple[BitArray, BitArray]:
    bits = opened.astype(np.uint8, copy=False)
    less, equal = [], []
    start = 0
    for at, merge in enumerate(level):
        rows = bits[start : start + merge.variables]
        start += merge.variables
        products = session.part(gate, f"products{depth}.{at}").astype(np.uint8, copy=False)
        ones = np.full((1, rows.shape[1]), 0xFF if session.first else 0, dtype=np.uint8)
        basis = np.concatenate([ones, masks[at], products])
        less.append(groups[at][1] ^ session.kernels.expand(rows, basis, *entries(merge, merge.less)))
        if merge.equal:
            equal.append(session.kernels.expand(rows, basis, *entries(merge, merge.equal)))
    return np.stack(less), np.stack(equal) if equal else np.zeros((0, bits.shape[1]), dtype=np.uint8)


@lru_cache(maxsize=256)
def entries(merge: Merge, terms: tuple[Term, ...]) -> Entries:
    """Expand products of u_i = d_i ^ a_i: for each subset of masks, its row in the basis and its d_i.

    The basis is: ones (on party 0), the masks, the products of masks. The d_i are a bit set.
    """
    rows, factors = [], []
    for term in terms:
        for chosen in range(1 << len(term)):
            subset = tuple(item for at, item in enumerate(term) if chosen >> at & 1)
            rows.append(_basis_row(merge, subset))
            factors.append(sum(1 << item for item in term if item not in subset))
    return np.array(rows, dtype=np.int64), np.array(factors, dtype=np.int64)


def _basis_row(merge: Merge, subset: Term) -> int:
    if not subset:
        return 0
    if len(subset) == 1:
        return 1 + subset[0]
    return 1 + merge.variables + merge.products.index(subset)
