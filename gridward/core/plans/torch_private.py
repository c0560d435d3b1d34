"""The private corners of torch that tracing stands on, in one place: an upgrade of torch is tried here."""

import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch._decomp import core_aten_decompositions
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.overrides import TorchFunctionMode

from gridward.core.plans.ops import Op

#: A batch size that is the size of nothing else, so that no other size is taken for it.
HINT: Final = 13


def fx_graph(
    function: Callable[..., list[Tensor]], examples: Sequence[Tensor], dynamic: Sequence[bool]
) -> tuple[fx.GraphModule, str | None]:
    """Trace a pure function of tensors to a graph of core-ATen calls, without in-place operations.

    The first dimension of every example marked dynamic is one symbol, the batch; those examples have ``HINT``
    rows. Ops of the closed table are kept whole, others decompose by torch's core-ATen table.

    Returns: the graph, and the batch symbol's name; None where the function fixed it to one number.
    """
    kept = {op.value for op in Op}
    every: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    table = {key: value for key, value in every.items() if str(key) not in kept}
    table[torch.ops.aten.slice_backward.default] = _slice_backward
    table[torch.ops.aten.select_backward.default] = _select_backward
    shapes = ShapeEnv()
    fakes = FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True)
    inputs = [
        fakes.from_tensor(
            example.detach(),
            symbolic_context=StatelessSymbolicContext(
                dynamic_sizes=[
                    DimDynamic.DUCK if moving and at == 0 else DimDynamic.STATIC for at in range(example.ndim)
                ]
            ),
        )
        for example, moving in zip(examples, dynamic, strict=True)
    ]
    with enable_python_dispatcher(), fakes, _Plainly():
        traced = make_fx(torch.func.functionalize(function), decomposition_table=table)(*inputs)
    traced.graph.eliminate_dead_code()
    symbols = {
        symbolic(fake.shape[0]) for fake, moving in zip(inputs, dynamic, strict=True) if moving and fake.ndim
    }
    symbol = symbols.pop() if len(symbols) == 1 else None
    return traced, symbol if isinstance(symbol, str) else None


class _Plainly(TorchFunctionMode):
    """Has torch compute some layers in plainer ops than it would choose.

    Linear layers get their rows laid out first: torch itself would fix the number of sequences. Attention is
    a product, a softmax and a product, its scale once: torch itself would scale both operands, and ask of
    every row whether it is masked altogether. Batch norm in training is sums over the batch, which the
    privacy analysis follows. While the mode is on, torch's encoder layers take no fast path.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch calls anything through here
        given = kwargs or {}
        if func is nn.functional.linear and not given and args[0].ndim > 2:
            x, *rest = args
            return func(x.flatten(0, -2), *rest).reshape(*x.shape[:-1], -1)
        if func is nn.functional.multi_head_attention_forward:
            with self:
                return MULTI_HEAD(*args, **given)
        if func is nn.functional.batch_norm and _by_batch(*args, **given):
            return _batch_norm(*args, **given)
        if func is nn.functional.scaled_dot_product_attention:
            return attention(*args, **given)
        return func(*args, **given)


def _unasked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give torch's own function without its question for modes, so that the calls inside come to ours."""
    asks = {"has_torch_function": lambda _tensors: False}
    made = FunctionType(function.__code__, function.__globals__ | asks, function.__name__)
    made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return made


MULTI_HEAD: Final = _unasked(nn.functional.multi_head_attention_forward)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute ``scaled_dot_product_attention``; without a mask no row can be masked altogether."""
    if enable_gqa or (is_causal and attn_mask is not None):
        raise RuntimeError("attention takes one key and value a head, and one mask")
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        attn_mask = torch.zeros(attn_mask.shape, dtype=query.dtype).masked_fill(
            attn_mask.logical_not(), -torch.inf
        )
    if attn_mask is not None:
        scores = scores + attn_mask
    plain = attn_mask is None or is_causal
    weights = scores.softmax(-1) if plain else torch._safe_softmax(scores, -1)
    return nn.functional.dropout(weights, dropout_p) @ value


def _slice_backward(
    grad: Tensor, input_sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Tensor:
    """Put a margin of zeros around the gradient of a slice."""
    if step != 1:
        raise RuntimeError("the gradient of a slice with steps")
    size = input_sizes[dim]
    start = max(0, start + size if start < 0 else start)
    margins = [0, 0] * (grad.ndim - 1 - dim % grad.ndim) + [start, size - start - grad.shape[dim]]
    padded: Tensor = torch.ops.aten.constant_pad_nd.default(grad, margins)
    return padded


def _select_backward(grad: Tensor, input_sizes: Sequence[int], dim: int, index: int) -> Tensor:
    dim = dim % len(input_sizes)
    start = index + input_sizes[dim] if index < 0 else index
    return _slice_backward(grad.unsqueeze(dim), input_sizes, dim, start, start + 1, 1)


def _by_batch(*args: Any, training: bool = False, **_: Any) -> bool:  # noqa: ANN401 - torch's arguments
    return bool(args[5] if len(args) > 5 else training)


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Compute ``batch_norm`` by the batch's own statistics, and move the running ones in place."""
    dims, per_channel = [at for at in range(x.ndim) if at != 1], [1, -1, *[1] * (x.ndim - 2)]
    mean = x.mean(dims)
    centred = x - mean.view(per_channel)
    variance = (centred * centred).mean(dims)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            entries = x.new_ones([x.shape[0]]).sum() * math.prod(x.shape[2:])
            unbiased = variance * (entries / (entries - 1))
            running_mean.mul_(1 - momentum).add_(mean * momentum)
            running_var.mul_(1 - momentum).add_(unbiased * momentum)
    normal = centred * (variance + eps).rsqrt().view(per_channel)
    scaled = normal if weight is None else normal * weight.view(per_channel)
    return scaled if bias is None else scaled + bias.view(per_channel)


def symbolic(size: Any) -> int | str | tuple[int, str] | None:  # noqa: ANN401 - fx arguments have no type
    """Read a size: an int, a symbol's name, (factor, symbol's name) for a multiple, None for all else."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    if expression.is_Integer:
        return int(expression)
    if expression.is_Symbol:
        return str(expression)
    factor, rest = expression.as_coeff_Mul()
    if factor.is_Integer and rest.is_Symbol:
        return int(factor), str(rest)
    return None
