"""Traced ops that the table spells another way: the closed list of rewrites, and hints for refusals."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import torch
from torch import fx

from gridward.core.plans.ops import Op
from gridward.core.plans.torch_private import symbolic

Named: TypeAlias = dict[str, Any]

IDENTITIES: Final = frozenset(
    f"aten.{name}.default"
    for name in ("alias", "clone", "contiguous", "detach", "lift_fresh", "lift_fresh_copy", "view_as")
)


def _as(op: Op, /, **fixed: Any) -> Callable[[Named, fx.Node], Op]:  # noqa: ANN401 - fx
    """Rewrite to an op of the table, with arguments that the original does not have."""

    def rewrite(named: Named, _node: fx.Node) -> Op:
        named.update((name, value) for name, value in fixed.items() if name not in named)
        return op

    return rewrite


def _filled(fill: float | None) -> Callable[[Named, fx.Node], Op]:
    """Rewrite the many ways of making a constant tensor: its size and dtype are those of the traced value."""

    def rewrite(named: Named, node: fx.Node) -> Op:
        value = node.meta["val"]
        filled = named.get("fill_value", named.get("s")) if fill is None else fill
        named.update(size=list(value.shape), fill_value=filled, dtype=value.dtype)
        return Op.FULL

    return rewrite


def _transpose(named: Named, node: fx.Node) -> Op:
    rank = node.meta["val"].ndim
    order = list(range(rank))
    if rank > 1:
        one, other = named.get("dim0", 0) % rank, named.get("dim1", 1) % rank
        order[one], order[other] = order[other], order[one]
    named["dims"] = order
    return Op.PERMUTE


def _resized(named: Named, _node: fx.Node) -> Op:
    named["size"] = named["shape"]
    return Op.VIEW


def _squeeze(named: Named, node: fx.Node) -> Op:
    shape = named["self"].meta["val"].shape
    dims = range(len(shape)) if "dim" not in named else [named["dim"] % max(1, len(shape))]
    named["dim"] = [dim for dim in dims if symbolic(shape[dim]) == 1]
    return Op.SQUEEZE_DIMS


def _range(named: Named, node: fx.Node) -> Op:
    named.update(start=named.get("start", 0), step=named.get("step", 1), dtype=node.meta["val"].dtype)
    return Op.ARANGE_START_STEP


def _variance(named: Named, _node: fx.Node) -> Op:
    named.update(correction=int(named["unbiased"]), dim=named.get("dim"), keepdim=named.get("keepdim", False))
    return Op.VAR_CORRECTION


def _of_truths(op: Op) -> Callable[[Named, fx.Node], Op]:
    """Rewrite what works on bits, where these are truths."""

    def rewrite(named: Named, node: fx.Node) -> Op:
        if node.meta["val"].dtype is not torch.bool:
            raise ValueError("works on the bits of integers")
        return op

    return rewrite


def _gradients(named: Named, _node: fx.Node) -> Op:
    """A bias that is not there has no gradient."""
    if not named["output_mask"][2]:
        named["bias_sizes"] = None
    return Op.CONVOLUTION_BACKWARD


def _pool(op: Op) -> Callable[[Named, fx.Node], Op]:
    def rewrite(named: Named, _node: fx.Node) -> Op:
        named["kernel_size"] = _pair(named["kernel_size"])
        named["stride"] = _pair(named["stride"] or named["kernel_size"])
        named["padding"] = _pair(named["padding"])
        if "dilation" in named:
            named["dilation"] = _pair(named["dilation"])
        return op

    return rewrite


def _pair(value: Any) -> list[int]:  # noqa: ANN401 - fx
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


ALIASES: Final[Mapping[str, Callable[[Named, fx.Node], Op]]] = MappingProxyType(
    {
        "aten.sum.default": _as(Op.SUM_DIM_INTLIST, dim=None, keepdim=False),
        "aten.mean.default": _as(Op.MEAN_DIM, dim=None, keepdim=False),
        "aten.var.default": _variance,
        "aten.var.dim": _variance,
        "aten.max.default": _as(Op.AMAX, dim=None, keepdim=False),
        "aten.min.default": _as(Op.AMIN, dim=None, keepdim=False),
        "aten.any.default": _as(Op.ANY_DIMS, dim=None, keepdim=False),
        "aten.all.default": _as(Op.ALL_DIMS, dim=None, keepdim=False),
        "aten.any.dim": _as(Op.ANY_DIMS),
        "aten.all.dim": _as(Op.ALL_DIMS),
        "aten.t.default": _transpose,
        "aten.transpose.int": _transpose,
        "aten._unsafe_view.default": _as(Op.VIEW),
        "aten.reshape.default": _resized,
        "aten.squeeze.default": _squeeze,
        "aten.squeeze.dim": _squeeze,
        "aten.full_like.default": _filled(None),
        "aten.full.default": _filled(None),
        "aten.new_full.default": _filled(None),
        "aten.scalar_tensor.default": _filled(None),
        "aten.zeros.default": _filled(0),
        "aten.zeros_like.default": _filled(0),
        "aten.new_zeros.default": _filled(0),
        "aten.ones.default": _filled(1),
        "aten.ones_like.default": _filled(1),
        "aten.new_ones.default": _filled(1),
        "aten.empty_permuted.default": _filled(0),
        "aten.bitwise_and.Tensor": _of_truths(Op.LOGICAL_AND),
        "aten.bitwise_or.Tensor": _of_truths(Op.LOGICAL_OR),
        "aten.bitwise_not.default": _of_truths(Op.LOGICAL_NOT),
        Op.CONVOLUTION_BACKWARD: _gradients,
        "aten.arange.default": _range,
        "aten.arange.start": _range,
        "aten.arange.start_step": _range,
        Op.MAX_POOL2D_WITH_INDICES: _pool(Op.MAX_POOL2D_WITH_INDICES),
        Op.MAX_POOL2D_WITH_INDICES_BACKWARD: _pool(Op.MAX_POOL2D_WITH_INDICES_BACKWARD),
        Op.AVG_POOL2D: _pool(Op.AVG_POOL2D),
        Op.AVG_POOL2D_BACKWARD: _pool(Op.AVG_POOL2D_BACKWARD),
    }
)


RANDOM: Final = "{} (random: of all layers only dropout may be, and in a training step only)"
HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        name: RANDOM.format(name)
        for name in ("aten.native_dropout.default", "aten.bernoulli.p", "aten.rand_like.default")
    }
    | {
        name: f"{name} (batch statistics: use group or layer norm, or put the module in eval mode)"
        for name in (
            "aten._native_batch_norm_legit_functional.default",
            "aten._native_batch_norm_legit.default",
            "aten.native_batch_norm.default",
        )
    }
)
