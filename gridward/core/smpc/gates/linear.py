"""Products of a wire with a deployed weight: y = x * w for ``*`` a matrix product or a convolution.

Once per deployment W^ = w + B is opened. With x^ = x + A public, and C = A * B shared by the dealer,
y_i = x^ * w_i - A_i * W^ + C_i (Beaver 1991, with one operand fixed). The last two terms do not depend on the
query. Online: one ring product per party, no bytes.
"""

from typing import cast

import numpy as np

from gridward.core.smpc.gate import Matmul
from gridward.core.smpc.geometry import convolution_gather, padded
from gridward.core.smpc.kernels import gathers
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.operands import FixedWeight, Product, fix
from gridward.core.smpc.program import Register
from gridward.core.smpc.ring import RingArray


def product(
    gate: Product, words: RingArray, weight: RingArray, result: Register, kernels: Kernels
) -> RingArray:
    """Multiply words by a weight modulo 2^64; bilinear, so it serves shares, masks and plain values."""
    out = np.zeros(result.shape, dtype=np.uint64)
    add_product(gate, words, fix(gate, weight, kernels), out, kernels)
    return out


def add_product(
    gate: Product, words: RingArray, weight: FixedWeight, out: RingArray, kernels: Kernels
) -> None:
    """Add a product to ``out``, contiguous and of the gate's result shape, in place."""
    if isinstance(gate, Matmul):
        flat = np.ascontiguousarray(words).reshape(-1)
        gather = gathers.of_rows(words.shape[0], words.shape[1], out.shape[1])
    else:
        flat = padded(words, gate.padding).reshape(-1)
        kernel = cast(tuple[int, int], weight.shape[2:])
        gather = convolution_gather(words.shape, gate, kernel, out.shape)
    kernels.multiply(weight.operand, flat, gather, out.reshape(-1))
