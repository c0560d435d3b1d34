"""How a public number is compared with a shared one: cut into blocks, then merge block results.

For every block the parties hold XOR shares of ``less`` and ``equal`` at no cost. From the top block down
less = l1 ^ e1 l2 ^ e1 e2 l3 ^ ...; a product of shared bits u_i costs an opening of d_i = u_i ^ a_i and
shares of the products of the masks a_i, since prod(d_i ^ a_i) is the XOR over subsets of prod(d) * prod(a).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import ceil, isqrt
from typing import Final, TypeAlias

Term: TypeAlias = tuple[int, ...]

BLOCK_BITS: Final = {1: 6, 2: 4}
"""By the number of merging levels: fewer rounds cost larger tables."""

MOST_FACTORS: Final = 4
"""So many shared bits are multiplied in one opening; the dealer's products of masks double with each."""

_FLAT_BLOCKS: Final = 3
"""So few blocks merge in one level at no more dealer bytes than in two."""


@dataclass(frozen=True, slots=True)
class Merge:
    """One group of blocks, top first. Variables are e_1.., then l_2..; outputs are less and, if asked, equal.

    ``less`` and ``equal`` list the products of variables that are XORed; ``products`` the subsets of
    variables (two or more) whose mask products the dealer shares.
    """

    blocks: int
    equals: int
    less: tuple[Term, ...]
    equal: tuple[Term, ...]
    products: tuple[Term, ...]

    @property
    def variables(self) -> int:
        """Count the bits that are opened for each element."""
        return self.equals + self.blocks - 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """Blocks as (lowest bit, bits), top first, and the levels of merging."""

    blocks: tuple[tuple[int, int], ...]
    levels: tuple[tuple[Merge, ...], ...]


def _merge(blocks: int, wants_equal: bool) -> Merge:
    equals = blocks if wants_equal else blocks - 1
    less = tuple((*range(at), equals + at - 1) for at in range(1, blocks))
    equal = (tuple(range(blocks)),) if wants_equal else ()
    return Merge(blocks, equals, less, equal, _subsets([*less, *equal]))


def _subsets(terms: Iterable[Term]) -> tuple[Term, ...]:
    subsets = {
        subset for term in terms for size in range(2, len(term) + 1) for subset in combinations(term, size)
    }
    return tuple(sorted(subsets, key=lambda subset: (len(subset), subset)))


def all_of(count: int) -> Merge:
    """Lay out the product of ``count`` shared bits, one opening."""
    return Merge(1, count, (), (tuple(range(count)),), _subsets([tuple(range(count))]))


def conjunction(count: int) -> tuple[tuple[Merge, ...], ...]:
    """Lay out the product of many shared bits: levels of groups of ``MOST_FACTORS`` at most."""
    levels: list[tuple[Merge, ...]] = []
    while not levels or count > 1:
        sizes = even(count, ceil(count / MOST_FACTORS))
        levels.append(tuple(all_of(size) for size in sizes))
        count = len(sizes)
    return tuple(levels)


def even(total: int, parts: int) -> list[int]:
    """Cut a number into parts that differ by one at most, larger ones first."""
    return [total // parts + (1 if at < total % parts else 0) for at in range(parts)]


@lru_cache(maxsize=256)
def plan_comparison(bits: int, levels: int) -> Comparison:
    """Lay out the comparison of ``bits``-bit numbers in at most ``levels`` (1 or 2) rounds."""
    sizes = even(bits, ceil(bits / BLOCK_BITS[levels]))
    low = bits
    blocks = []
    for size in sizes:
        low -= size
        blocks.append((low, size))
    count = len(sizes)
    if count == 1:
        return Comparison(tuple(blocks), ())
    if levels == 1 or count <= _FLAT_BLOCKS:
        return Comparison(tuple(blocks), ((_merge(count, False),),))
    groups = even(count, max(2, ceil(count / (isqrt(count) + 1))))
    first = tuple(_merge(size, at < len(groups) - 1) for at, size in enumerate(groups))
    return Comparison(tuple(blocks), (first, (_merge(len(groups), False),)))
