"""What the operands of some torch kernels must agree on before they run.

On the CPU these kernels trust their operands: they would read, or write, past the end of a buffer, and plans
come from strangers. The rule is that a gradient fits the forward op that it belongs to, and an index its
target. The other ops of the table check for themselves.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor

from gridward.core.plans.ops import Op

_ATEN: Final = torch.ops.aten


def require_agreement(op: Op, arguments: tuple[Any, ...]) -> None:
    """Raise ``ValueError`` if a kernel would leave its operands' memory.

    Of meta tensors only shapes can be checked. Cost: tens of microseconds for a gradient of a layer, one pass
    over indices; nothing for most ops.
    """
    if op in _CHECKS:
        _CHECKS[op](*arguments)


def _softmax_backward(grad: Tensor, output: Tensor, _dim: int, input_dtype: torch.dtype) -> None:
    _same(grad, output.shape)
    if grad.dtype is not input_dtype:
        raise ValueError(f"a gradient of {grad.dtype} is none of {input_dtype}")


def _convolution_backward(
    grad: Tensor, given: Tensor, weight: Tensor, bias_sizes: list[int] | None, *geometry: object
) -> None:
    forward = _ATEN.convolution.default(_shadow(given), _shadow(weight), None, *geometry[:-1])
    _same(grad, forward.shape)
    if bias_sizes is not None and bias_sizes != [forward.shape[1]]:
        raise ValueError(f"a bias of sizes {bias_sizes} does not fit {forward.shape[1]} channels")


def _max_pool_backward(grad: Tensor, given: Tensor, *rest: object) -> None:
    *geometry, indices = rest
    if not isinstance(indices, Tensor):
        raise TypeError("the last operand of a max pool's gradient is a tensor")
    forward, _ = _ATEN.max_pool2d_with_indices.default(_shadow(given), *geometry)
    _same(grad, forward.shape)
    _same(indices, forward.shape)
    _within(indices, given.shape[-2] * given.shape[-1])


def _avg_pool_backward(grad: Tensor, given: Tensor, *geometry: object) -> None:
    _same(grad, _ATEN.avg_pool2d.default(_shadow(given), *geometry).shape)


def _adaptive_pool_backward(grad: Tensor, given: Tensor) -> None:
    forward = _ATEN._adaptive_avg_pool2d.default(_shadow(given), list(grad.shape[-2:]))
    _same(grad, forward.shape)


def _batch_norm(given: Tensor, *rest: object) -> None:
    for one in rest:
        if isinstance(one, Tensor):
            _same(one, given.shape[1:2])


def _embedding_backward(grad: Tensor, indices: Tensor, num_weights: int, *_rest: object) -> None:
    _same(grad, (*indices.shape, *grad.shape[-1:]))
    _within(indices, num_weights)


def _same(value: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(value.shape) != tuple(shape):
        raise ValueError(f"an operand of shape {list(value.shape)} should be of shape {list(shape)}")


def _within(indices: Tensor, count: int) -> None:
    if indices.is_meta or not indices.numel():
        return
    low, high = indices.aminmax()
    if int(low) < 0 or int(high) >= count:
        raise ValueError("an index is out of bounds")


def _shadow(value: Tensor) -> Tensor:
    return torch.empty(value.shape, dtype=value.dtype, device="meta")


_CHECKS: Final[Mapping[Op, Callable[..., None]]] = MappingProxyType(
    {
        Op.SOFTMAX_BACKWARD_DATA: _softmax_backward,
        Op.LOG_SOFTMAX_BACKWARD_DATA: _softmax_backward,
        Op.CONVOLUTION_BACKWARD: _convolution_backward,
        Op.MAX_POOL2D_WITH_INDICES_BACKWARD: _max_pool_backward,
        Op.AVG_POOL2D_BACKWARD: _avg_pool_backward,
        Op.ADAPTIVE_AVG_POOL2D_BACKWARD: _adaptive_pool_backward,
        Op.BATCH_NORM_NO_TRAINING: _batch_norm,
        Op.EMBEDDING_DENSE_BACKWARD: _embedding_backward,
    }
)
