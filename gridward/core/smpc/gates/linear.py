"""Products of a wire with a deployed weight: y = x * w for ``*`` a matrix product or a convolution.

Once per deployment W^ = w + B is opened. With x^ = x + A public, and C = A * B shared by the dealer,
y_i = x^ * w_i - A_i * W^ + C_i (Beaver 1991, with one operand fixed). The last two terms do not depend on the
query. Online: one ring product per party, no bytes.
"""

from typing import TypeAlias, cast

import numpy as np

from gridward.core.smpc.gate import Convolution, Matmul
from gridward.core.smpc.geometry import columns_of, image_of
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.program import Register
from gridward.core.smpc.ring import RingArray

Product: TypeAlias = Matmul | Convolution


def product(
    gate: Product, words: RingArray, weight: RingArray, result: Register, kernels: Kernels
) -> RingArray:
    """Multiply words by a weight modulo 2^64; bilinear, so it serves shares, masks and plain values."""
    if isinstance(gate, Matmul):
        return kernels.matmul(words, weight.T if gate.transposed else weight)
    kernel = cast(tuple[int, int], weight.shape[2:])
    columns = columns_of(words, gate, kernel, cast(tuple[int, int], result.shape[2:]))
    matrices = weight.reshape(gate.groups, weight.shape[0] // gate.groups, -1)
    parts = [kernels.matmul(matrix, column) for matrix, column in zip(matrices, columns, strict=True)]
    return image_of(np.stack(parts), result.shape)
