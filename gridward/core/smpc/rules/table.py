"""How each plan op is compiled: the ops that encrypted runs know. Adding one is a rule, perhaps a gate."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from gridward.core.plans.ops import Op
from gridward.core.smpc.lowering import Arguments, Lowering, Value
from gridward.core.smpc.rules import (
    arithmetic,
    clamps,
    factors,
    layer_norm,
    maxima,
    norms,
    pooling,
    products,
    reductions,
    rows,
    scales,
    selection,
    shapes,
    smooth,
)

Rule: TypeAlias = Callable[[Arguments, Lowering, bool], tuple[Value, ...]]
"""From a step's arguments, the state so far and whether the results are exposed, to its results."""

PRODUCTS: Final = frozenset({Op.MM, Op.BMM, Op.ADDMM, Op.CONVOLUTION})
"""Behind a product no earlier rounding shows."""

RULES: Final[Mapping[Op, Rule]] = MappingProxyType(
    {
        Op.ADD_TENSOR: arithmetic.add,
        Op.ADD_SCALAR: arithmetic.add,
        Op.SUB_TENSOR: arithmetic.sub,
        Op.SUB_SCALAR: arithmetic.sub,
        Op.RSUB_SCALAR: arithmetic.rsub,
        Op.MUL_TENSOR: factors.mul,
        Op.MUL_SCALAR: factors.mul,
        Op.DIV_TENSOR: scales.div,
        Op.DIV_SCALAR: factors.div,
        Op.POW_TENSOR_SCALAR: factors.power,
        Op.NEG: arithmetic.neg,
        Op.MM: products.mm,
        Op.ADDMM: products.addmm,
        Op.BMM: products.bmm,
        Op.CONVOLUTION: products.convolution,
        Op.BATCH_NORM_NO_TRAINING: norms.batch_norm,
        Op.RELU: clamps.relu,
        Op.LEAKY_RELU: clamps.leaky_relu,
        Op.HARDTANH: clamps.hardtanh,
        Op.CLAMP: clamps.clamp,
        Op.ABS: clamps.absolute,
        Op.MAXIMUM: clamps.maximum,
        Op.MINIMUM: clamps.minimum,
        Op.SIGMOID: smooth.sigmoid,
        Op.TANH: smooth.tanh,
        Op.ERF: smooth.erf,
        Op.GELU: smooth.gelu,
        Op.SOFTMAX: rows.softmax,
        Op.LOG_SOFTMAX: rows.log_softmax,
        Op.NATIVE_LAYER_NORM: layer_norm.layer_norm,
        Op.EXP: scales.exp,
        Op.LOG: scales.log,
        Op.LOG1P: scales.log1p,
        Op.SQRT: scales.sqrt,
        Op.RSQRT: scales.rsqrt,
        Op.RECIPROCAL: scales.reciprocal,
        Op.VIEW: shapes.view,
        Op.UNSQUEEZE: shapes.unsqueeze,
        Op.SQUEEZE_DIMS: shapes.squeeze,
        Op.PERMUTE: shapes.permute,
        Op.EXPAND: shapes.expand,
        Op.SELECT_INT: selection.select,
        Op.SLICE_TENSOR: selection.slice_axis,
        Op.CAT: selection.cat,
        Op.SUM_DIM_INTLIST: reductions.sum_over,
        Op.MEAN_DIM: reductions.mean,
        Op.MAX_POOL2D_WITH_INDICES: maxima.max_pool,
        Op.AMAX: maxima.amax,
        Op.AMIN: maxima.amin,
        Op.AVG_POOL2D: pooling.avg_pool,
        Op.ADAPTIVE_AVG_POOL2D: pooling.adaptive_avg_pool,
    }
)
