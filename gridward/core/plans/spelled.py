"""Layers and losses spelled in plainer torch where their gradients would leave the op table."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class Spelled(TorchFunctionMode):
    """Computes the layers of ``SPELLINGS`` by them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch calls anything through here
        return SPELLINGS.get(func, func)(*args, **(kwargs or {}))


def _elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    # the exponential of a large value is infinite, and so would be its gradient times 0
    return torch.where(x > 0, x, alpha * (x.clamp(max=0).exp() - 1))


def _selu(x: Tensor, inplace: bool = False) -> Tensor:
    return 1.0507009873554804934193349852946 * _elu(x, 1.6732632423543772848170429916717)


def _group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    inside = math.prod(x.shape[1:]) // num_groups
    grouped = x.reshape(x.shape[0], num_groups, inside)
    centred = grouped - grouped.mean(2, keepdim=True)
    variance = (centred * centred).mean(2, keepdim=True)
    normal = (centred * (variance + eps).rsqrt()).reshape(x.shape)
    per_channel = [1, -1, *[1] * (x.ndim - 2)]
    scaled = normal if weight is None else normal * weight.view(per_channel)
    return scaled if bias is None else scaled + bias.view(per_channel)


def _adaptive_max_pool2d(
    x: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False
) -> Tensor:
    if return_indices:
        raise RuntimeError("adaptive max pooling with indices")
    wanted = [output_size] * 2 if isinstance(output_size, int) else list(output_size)
    sizes = [have if want is None else want for want, have in zip(wanted, x.shape[-2:], strict=True)]
    if any(have % want for want, have in zip(sizes, x.shape[-2:], strict=True)):
        raise RuntimeError(
            f"adaptive max pooling of {list(x.shape[-2:])} to {sizes}: windows of unequal sizes"
        )
    return functional.max_pool2d(x, [have // want for want, have in zip(sizes, x.shape[-2:], strict=True)])


def _huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    off = (input - target).abs()
    each = torch.where(off <= delta, 0.5 * off * off, delta * (off - 0.5 * delta))
    return _reduced(each if weight is None else each * weight, reduction)


def _gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Torch looks whether a variance is negative, and stops: that depends on values."""
    variance = torch.as_tensor(var, dtype=input.dtype)
    if variance.ndim == input.ndim - 1:
        variance = variance.unsqueeze(-1)
    with torch.no_grad():
        lifted = variance.clamp(min=eps) - variance
    variance = variance + lifted
    each = 0.5 * (variance.log() + (input - target) ** 2 / variance)
    return _reduced(each + 0.5 * math.log(2 * math.pi) if full else each, reduction)


def _cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Classes of pixels are classes of rows, several a row; smoothing changes nothing in place."""
    logits, shape = input, target.shape
    if target.is_floating_point():
        smoothed = {"reduction": reduction, "label_smoothing": label_smoothing}
        return functional.cross_entropy(logits, target, weight, **smoothed)  # type: ignore[arg-type]
    if logits.ndim > 2:
        logits, target = logits.movedim(1, -1).reshape(-1, logits.shape[1]), target.reshape(-1)
    chances = logits.log_softmax(-1)
    right = functional.nll_loss(chances, target, weight, ignore_index=ignore_index, reduction=reduction)
    if not label_smoothing:
        return right.reshape(shape) if reduction == "none" else right
    counts = (target != ignore_index).to(chances.dtype)
    every = -(chances if weight is None else chances * weight).sum(-1) * counts
    if reduction == "mean":
        parts = counts if weight is None else counts * weight.gather(0, target.clamp(min=0))
        every = every.sum() / parts.sum()
    share = label_smoothing / chances.shape[-1]
    found = (1 - label_smoothing) * right + share * (every.sum() if reduction == "sum" else every)
    return found.reshape(shape) if reduction == "none" else found


def _reduced(each: Tensor, reduction: str) -> Tensor:
    return each.mean() if reduction == "mean" else each.sum() if reduction == "sum" else each


SPELLINGS: Final[Mapping[Callable[..., Any], Callable[..., Any]]] = MappingProxyType(
    {
        nn.functional.elu: _elu,
        nn.functional.selu: _selu,
        nn.functional.group_norm: _group_norm,
        nn.functional.adaptive_max_pool2d: _adaptive_max_pool2d,
        nn.functional.cross_entropy: _cross_entropy,
        nn.functional.huber_loss: _huber_loss,
        nn.functional.gaussian_nll_loss: _gaussian_nll_loss,
    }
)
