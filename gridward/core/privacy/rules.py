"""For each op, how rows flow through it. Total over the op table; what is not followed is refused.

Every rule is an allowance: an op whose rule does not understand its arguments raises ``MixingError``. Values
without rows may meet in any op, since a function of public values and aggregates is no more than that.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType, Ref
from gridward.core.privacy import layers, layout
from gridward.core.privacy.call import Call, Rule, axes_of, axis_of, free_only
from gridward.core.privacy.flow import (
    Free,
    Known,
    MixingError,
    Mode,
    Rows,
    alike,
    contracted,
    elementwise,
    free,
    masks_of,
    reduced,
    rows_of,
    uneven,
    within,
)

_FLOATS: Final = (DType.FLOAT32, DType.FLOAT64)
_MASKS: Final = (DType.BOOL, DType.UINT8)


def _mode(call: Call, mode: Mode) -> Mode:
    return Mode.DECISION if call.decides() else mode


def _exact(mode: Mode, call: Call) -> Mode:
    """Integers wrap and truncate, so that a sum or a product of them is any function."""
    return mode if call.dtypes.get(call.step.out[0]) in _FLOATS else Mode.ANY


def _each(mode: Mode, call: Call) -> Known:
    return elementwise(call.operands(), call.shape(), _mode(call, _exact(mode, call)))


def _quotient(call: Call) -> Known:
    divisor = call.flow("other")
    masked = isinstance(divisor, Rows) and bool(divisor.masks)
    return elementwise(call.operands(), call.shape(), _mode(call, Mode.ANY if masked else Mode.PRODUCT))


def _reduce(mode: Mode, call: Call) -> Known:
    flow = call.flow("self")
    keepdim = call.argument("keepdim") is True
    if not _counts(call):
        mode = _exact(mode, call)
    return reduced(flow, axes_of(call, "dim", flow), keepdim=keepdim, shape=call.shape(), mode=mode)


def _counts(call: Call) -> bool:
    """Say whether it counts the True entries of masks: a sum that neither truncates nor wraps."""
    given = call.argument("self")
    kind = call.dtypes.get(given.name) if isinstance(given, Ref) else None
    return kind is DType.BOOL and call.dtypes.get(call.step.out[0]) is DType.INT64


def _within(call: Call) -> Known | tuple[Known, ...]:
    flow = call.flow("self")
    keepdim = call.argument("keepdim") is True
    over = axes_of(call, "dim", flow)
    mode = _mode(call, Mode.ANY)
    kept = tuple(
        within(flow, over, keepdim=keepdim, shape=call.shape(at), mode=mode)
        for at in range(len(call.step.out))
    )
    return kept if len(kept) > 1 else kept[0]


def _along(mode: Mode, call: Call) -> Known | tuple[Known, ...]:
    """Ops that mix along ``dim`` and keep the shape."""
    axis = axis_of(call.integer("dim"), len(call.shape()))
    operands = call.operands()
    if any(rows.axis == axis for rows in rows_of(operands)):
        raise MixingError("it runs along the rows")
    kept = elementwise(operands, call.shape(), mode)
    if isinstance(kept, Free):
        kept = free(operands, call.shape())
    return (kept,) * len(call.step.out) if len(call.step.out) > 1 else kept


def _histogram(call: Call) -> Known:
    flow = call.flow("self")
    if isinstance(flow, Free):
        return free([flow], call.shape())
    if not call.counted:
        raise MixingError("its bins are not counted here")
    if len(flow.shape) != 1:
        raise MixingError("it counts several values of a row at once; take one column")
    masks_of([flow], Mode.ANY)
    return Free(True, call.shape(), uneven(call.shape()))


def _product(letters: str, call: Call) -> Known:
    mode = _exact(Mode.PRODUCT, call)
    return contracted(call.flow("self"), call.flow("mat2"), letters, call.shape(), mode)


def _affine(call: Call) -> Known:
    mode = _exact(Mode.PRODUCT, call)
    product = contracted(call.flow("mat1"), call.flow("mat2"), "ik,kj->ij", call.shape(), mode)
    return elementwise([call.flow("self"), product], call.shape(), _exact(Mode.LINEAR, call))


def _indexed(call: Call) -> Known | tuple[Known, ...]:
    """Numbers pick from values without rows; a mask would make sizes that this analysis cannot know."""
    indices = call.argument("indices")
    names = [item.name for item in indices if isinstance(item, Ref)] if isinstance(indices, tuple) else []
    if any(call.dtypes.get(name) in _MASKS for name in names):
        raise MixingError("how many values its mask keeps is known only when it runs; use where instead")
    return _BY_NUMBER(call)


def _embedding(call: Call) -> Known:
    weight, indices = call.flow("weight"), call.flow("indices")
    if isinstance(weight, Rows):
        raise MixingError("it selects rows by number")
    if isinstance(indices, Free):
        return free([weight, indices], call.shape())
    masks = masks_of([indices], Mode.ANY)
    return replace(indices, shape=call.shape(), axis=indices.axis - 1, masks=masks)


def _embedding_gradient(call: Call) -> Known:
    """Each row of the result adds up those rows that hold one category: an aggregate as a gated sum is one.

    So it passes where masks are not counted (training), as the gradient of a one-hot product does.
    """
    gradient, indices = call.flow("grad_output"), call.flow("indices")
    if not rows_of([gradient, indices]):
        return free([gradient, indices], call.shape())
    if call.counted:
        raise MixingError("each row of its result adds up the few rows of one category")
    if not isinstance(gradient, Rows) or not isinstance(indices, Rows):
        raise MixingError("it pairs rows with values that are not rows")
    if gradient.table != indices.table or gradient.axis != indices.axis - 1 or not alike(gradient, indices):
        raise MixingError("it pairs every row with every other row")
    return Free(True, call.shape(), uneven(call.shape()))


def _gather(call: Call) -> Known:
    """Every row picks among its own values, by public numbers or by its own."""
    source, index, shape = call.flow("self"), call.flow("index"), call.shape()
    rows = rows_of([source, index])
    if not rows:
        return free([source, index], shape)
    axis = rows[0].axis
    if isinstance(source, Free) and isinstance(index, Rows) and len(shape) == 1:
        return replace(index, masks=masks_of([index], Mode.ANY))
    if axis == axis_of(call.integer("dim"), len(shape)):
        raise MixingError("it selects rows by number")
    if any(len(flow.shape) != len(shape) or flow.shape[axis] != shape[axis] for flow in (source, index)):
        raise MixingError("it takes some of the rows")
    return elementwise([source, index], shape, Mode.ANY)


def _full(call: Call) -> Known:
    return Free(False, call.shape(), frozenset())


_LINEAR: Final[Rule] = partial(_each, Mode.LINEAR)
_PRODUCT: Final[Rule] = partial(_each, Mode.PRODUCT)
_ANY: Final[Rule] = partial(_each, Mode.ANY)
_ADD_UP: Final[Rule] = partial(_reduce, Mode.LINEAR)
_SCAN: Final[Rule] = partial(_along, Mode.ANY)
_NO_ROWS: Final[Rule] = partial(free_only, "it is not followed through rows")
_BY_NUMBER: Final[Rule] = partial(
    free_only, "it selects rows; mask with where(condition, value, 0) and divide by the count instead"
)
_POOL: Final[Rule] = partial(layers.layer, ("self",), (), 4, (True, True))
_POOL_BACKWARD: Final[Rule] = partial(layers.layer, ("grad_output", "self"), (), 4, (True,))
_MAX_POOL_BACKWARD: Final[Rule] = partial(layers.layer, ("grad_output", "self", "indices"), (), 4, (True,))

RULES: Final[Mapping[Op, Rule]] = MappingProxyType(
    {
        Op.ADD_TENSOR: _LINEAR,
        Op.ADD_SCALAR: _LINEAR,
        Op.SUB_TENSOR: _LINEAR,
        Op.SUB_SCALAR: _LINEAR,
        Op.RSUB_SCALAR: _LINEAR,
        Op.MUL_TENSOR: _PRODUCT,
        Op.MUL_SCALAR: _LINEAR,
        Op.DIV_TENSOR: _quotient,
        Op.DIV_SCALAR: _LINEAR,
        Op.DIV_TENSOR_MODE: _ANY,
        Op.DIV_SCALAR_MODE: _ANY,
        Op.REMAINDER_TENSOR: _ANY,
        Op.REMAINDER_SCALAR: _ANY,
        Op.POW_TENSOR_TENSOR: _ANY,
        Op.POW_TENSOR_SCALAR: _ANY,
        Op.POW_SCALAR: _ANY,
        Op.MAXIMUM: _ANY,
        Op.MINIMUM: _ANY,
        Op.CLAMP: _ANY,
        Op.NEG: _LINEAR,
        Op.ABS: _ANY,
        Op.SIGN: _ANY,
        Op.FLOOR: _ANY,
        Op.CEIL: _ANY,
        Op.ROUND: _ANY,
        Op.SQRT: _ANY,
        Op.RSQRT: _ANY,
        Op.RECIPROCAL: _ANY,
        Op.EXP: _ANY,
        Op.LOG: _ANY,
        Op.LOG1P: _ANY,
        Op.SIN: _ANY,
        Op.COS: _ANY,
        Op.SIGMOID: _ANY,
        Op.TANH: _ANY,
        Op.ERF: _ANY,
        Op.RELU: _ANY,
        Op.LEAKY_RELU: _ANY,
        Op.HARDTANH: _ANY,
        Op.GELU: _ANY,
        Op.WHERE_SELF: _PRODUCT,
        Op.TO_COPY: _LINEAR,
        Op.EQ_TENSOR: _ANY,
        Op.EQ_SCALAR: _ANY,
        Op.NE_TENSOR: _ANY,
        Op.NE_SCALAR: _ANY,
        Op.LT_TENSOR: _ANY,
        Op.LT_SCALAR: _ANY,
        Op.LE_TENSOR: _ANY,
        Op.LE_SCALAR: _ANY,
        Op.GT_TENSOR: _ANY,
        Op.GT_SCALAR: _ANY,
        Op.GE_TENSOR: _ANY,
        Op.GE_SCALAR: _ANY,
        Op.LOGICAL_AND: _ANY,
        Op.LOGICAL_OR: _ANY,
        Op.LOGICAL_XOR: _ANY,
        Op.LOGICAL_NOT: _ANY,
        Op.ISNAN: _ANY,
        Op.SUM_DIM_INTLIST: _ADD_UP,
        Op.MEAN_DIM: _ADD_UP,
        Op.VAR_CORRECTION: partial(_reduce, Mode.ANY),
        Op.ANY_DIMS: _within,
        Op.ALL_DIMS: _within,
        Op.CUMSUM: _SCAN,
        Op.HISTC: _histogram,
        Op.AMAX: _within,
        Op.AMIN: _within,
        Op.ARGMAX: _within,
        Op.ARGMIN: _within,
        Op.MEDIAN_DIM: _within,
        Op.QUANTILE_SCALAR: _within,
        Op.SORT: _SCAN,
        Op.MM: partial(_product, "ik,kj->ij"),
        Op.BMM: partial(_product, "bik,bkj->bij"),
        Op.ADDMM: _affine,
        Op.VIEW: layout.view,
        Op.PERMUTE: layout.permute,
        Op.UNSQUEEZE: layout.unsqueeze,
        Op.SQUEEZE_DIMS: layout.squeeze,
        Op.EXPAND: layout.expand,
        Op.CAT: layout.cat,
        Op.CONSTANT_PAD_ND: layout.pad,
        Op.SELECT_INT: layout.select,
        Op.SLICE_TENSOR: layout.part,
        Op.INDEX_SELECT: layout.index_select,
        Op.INDEX_TENSOR: _indexed,
        Op.GATHER: _gather,
        Op.EMBEDDING: _embedding,
        Op.FULL: _full,
        Op.ARANGE_START_STEP: _NO_ROWS,
        Op.CONVOLUTION: layers.convolution,
        Op.MAX_POOL2D_WITH_INDICES: _POOL,
        Op.AVG_POOL2D: _POOL,
        Op.ADAPTIVE_AVG_POOL2D: _POOL,
        Op.SOFTMAX: _SCAN,
        Op.LOG_SOFTMAX: _SCAN,
        Op.NATIVE_LAYER_NORM: layers.layer_norm,
        Op.BATCH_NORM_NO_TRAINING: layers.batch_norm,
        Op.NLL_LOSS_FORWARD: layers.nll_loss,
        Op.THRESHOLD_BACKWARD: _ANY,
        Op.CONVOLUTION_BACKWARD: layers.convolution_backward,
        Op.MAX_POOL2D_WITH_INDICES_BACKWARD: _MAX_POOL_BACKWARD,
        Op.AVG_POOL2D_BACKWARD: _POOL_BACKWARD,
        Op.ADAPTIVE_AVG_POOL2D_BACKWARD: _POOL_BACKWARD,
        Op.SOFTMAX_BACKWARD_DATA: _SCAN,
        Op.LOG_SOFTMAX_BACKWARD_DATA: _SCAN,
        Op.NLL_LOSS_BACKWARD: layers.nll_loss_backward,
        Op.EMBEDDING_DENSE_BACKWARD: _embedding_gradient,
    }
)
