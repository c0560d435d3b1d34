"""Whether compared values kept within their bits: found out beside a comparison, told to the client alone.

A comparison takes the low v bits of z = P - rho for z: with p and r the top ones of those of P and rho, and l
= [P < rho] on what is below, it finds the sign s = p ^ r ^ l. What it took for z lacks e 2^v, where

    e = (P >> v) - (rho >> v) + (1 - r)(1 - l)   where p = 1
    e = (P >> v) - (rho >> v) - r l              where p = 0

and e is 0 exactly where -2^(v-1) <= z < 2^(v-1). The sign is opened as o = s ^ beta with beta = flip ^ r, so
l = o ^ p ^ flip: with shares of rho >> v + r flip, of flip and of beta, the excess e is linear. All e of a
gate are added up with public random coefficients, ``CHECKS`` times; the client gets these sums.

An excess is told modulo 2^g, g the gate's ``guard``. One that is an odd multiple of 2^k goes unnoticed with
probability 2^(-CHECKS (g - k)), however many there are.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.correlations import CHECKS, SlotArray
from gridward.core.smpc.gate import Compared
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.ring import RingArray
from gridward.core.smpc.session import Session

Bits = NDArray[np.bool_]

_LABEL: Final = b"gridward/guard"


def watch(
    at: int, gate: Compared, session: Session, public: RingArray, opened: Bits, beta: SlotArray
) -> None:
    """Keep this party's shares of a gate's sums, for the answer; all arguments (n,).

    ``opened`` is o, ``beta`` shares what hides it.
    Security: opens nothing; the sums are shared afresh for the client, to whom they are 0 while all values
    keep within their bits. Cost: no bytes online; the slots ``above`` and ``turn``, of 2 dealer bytes a
    comparison each, or 4 where ``guard`` is above 16, and ``hidden`` of a gate that has no words of beta.
    """
    above, turn = session.part(at, "above"), session.part(at, "turn")
    narrow = above.dtype.type
    one = narrow(1)
    halves = public >> np.uint64(gate.bits - 1)
    top = halves.astype(narrow) & one
    less = top ^ opened  # l ^ flip
    excess = turn * less
    excess -= beta.astype(narrow) * opened
    excess -= above
    if session.first:
        excess += (halves >> np.uint64(1)).astype(narrow)
        excess += top & (less ^ one)
    excess <<= narrow(8 * above.itemsize - gate.guard)
    sums: SlotArray = np.einsum("kn,n->k", _coefficients(at, session, excess), excess)
    session.checks[at] = sums + session.part(at, "still")


def _coefficients(at: int, session: Session, like: SlotArray) -> SlotArray:
    """Give public coefficients that depend on the bundle alone: (CHECKS, n)."""
    key = hashlib.sha256(b"".join([_LABEL, *session.agreed])).digest()
    drawn = np.empty((CHECKS, like.size), dtype=like.dtype.newbyteorder("<"))
    Prg(key).fill(at, drawn.reshape(-1).data.cast("B"))
    return drawn.astype(like.dtype, copy=False)


def corrections(gate: Compared, rho: RingArray, flips: Bits, like: SlotArray) -> Mapping[str, SlotArray]:
    """Give what the dealer shares for a guard: of masks rho (n,) and the bits that hide the signs."""
    narrow = like.dtype.type
    top = (rho >> np.uint64(gate.bits - 1) & np.uint64(1)).astype(np.bool_)
    above = (rho >> np.uint64(gate.bits)).astype(narrow) + (top & flips).astype(narrow)
    return {"above": above, "turn": flips.astype(narrow), "still": np.zeros(CHECKS, dtype=narrow)}
