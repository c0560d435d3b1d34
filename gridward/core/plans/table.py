"""The op table: arguments, row-separability, encrypted gate and cost of every op.

``rows`` is for the privacy analysis, ``gate`` for the encrypted executor, ``cost`` for limits: each reader
takes its column, none of them is known here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gridward.core.plans.ops import ArgKind, CostRule, Gate, Op, OpSpec, Param, RowRule


def _tensors(*names: str) -> tuple[Param, ...]:
    return tuple(Param(name, ArgKind.TENSOR) for name in names)


def _numbers(*names: str, optional: bool = False) -> tuple[Param, ...]:
    return tuple(Param(name, ArgKind.NUM, optional) for name in names)


def _integers(*names: str, optional: bool = False) -> tuple[Param, ...]:
    return tuple(Param(name, ArgKind.INT, optional) for name in names)


def _int_lists(*names: str, optional: bool = False) -> tuple[Param, ...]:
    return tuple(Param(name, ArgKind.INTS, optional) for name in names)


def _flags(*names: str) -> tuple[Param, ...]:
    return tuple(Param(name, ArgKind.BOOL) for name in names)


def _maybe(*names: str) -> tuple[Param, ...]:
    return tuple(Param(name, ArgKind.TENSOR, optional=True) for name in names)


_DTYPE: Final = (Param("dtype", ArgKind.DTYPE, optional=True),)
_SIZE: Final = (Param("size", ArgKind.SIZES),)
_ROUNDING: Final = (Param("rounding_mode", ArgKind.STR, optional=True, choices=("floor", "trunc")),)
_OVER: Final = (*_tensors("self"), *_int_lists("dim", optional=True), *_flags("keepdim"))
_ARG: Final = (*_tensors("self"), *_integers("dim", optional=True), *_flags("keepdim"))
_POOL: Final = _int_lists("kernel_size", "stride", "padding")
_CONV: Final = (
    *_int_lists("stride", "padding", "dilation"),
    *_flags("transposed"),
    *_int_lists("output_padding"),
    *_integers("groups"),
)
_AVG_POOL: Final = (
    *_POOL,
    *_flags("ceil_mode", "count_include_pad"),
    *_integers("divisor_override", optional=True),
)


def _unary(gate: Gate, *more: Param) -> OpSpec:
    return OpSpec((*_tensors("self"), *more), RowRule.ELEMENTWISE, gate)


def _binary(gate: Gate, *more: Param) -> OpSpec:
    return OpSpec((*_tensors("self", "other"), *more), RowRule.ELEMENTWISE, gate)


def _scalar(gate: Gate, *more: Param) -> OpSpec:
    return OpSpec((*_tensors("self"), *_numbers("other"), *more), RowRule.ELEMENTWISE, gate)


def _reduce(gate: Gate, *more: Param, rows: RowRule = RowRule.REDUCE) -> OpSpec:
    return OpSpec((*_OVER, *more), rows, gate, CostRule.IN)


def _shape(*more: Param, cost: CostRule = CostRule.FREE) -> OpSpec:
    return OpSpec((*_tensors("self"), *more), RowRule.SHAPE, Gate.LOCAL, cost)


def _gradient(*params: Param, cost: CostRule = CostRule.IN, results: int = 1) -> OpSpec:
    return OpSpec(params, RowRule.REFUSED, Gate.NONE, cost, results)


SPECS: Final[Mapping[Op, OpSpec]] = MappingProxyType(
    {
        Op.ADD_TENSOR: _binary(Gate.LOCAL, *_numbers("alpha")),
        Op.ADD_SCALAR: _scalar(Gate.LOCAL, *_numbers("alpha")),
        Op.SUB_TENSOR: _binary(Gate.LOCAL, *_numbers("alpha")),
        Op.SUB_SCALAR: _scalar(Gate.LOCAL, *_numbers("alpha")),
        Op.RSUB_SCALAR: _scalar(Gate.LOCAL, *_numbers("alpha")),
        Op.MUL_TENSOR: _binary(Gate.LINEAR),
        Op.MUL_SCALAR: _scalar(Gate.LINEAR),
        Op.DIV_TENSOR: _binary(Gate.SMOOTH),
        Op.DIV_SCALAR: _scalar(Gate.LINEAR),
        Op.DIV_TENSOR_MODE: _binary(Gate.NONE, *_ROUNDING),
        Op.DIV_SCALAR_MODE: _scalar(Gate.NONE, *_ROUNDING),
        Op.REMAINDER_TENSOR: _binary(Gate.NONE),
        Op.REMAINDER_SCALAR: _scalar(Gate.NONE),
        Op.POW_TENSOR_TENSOR: OpSpec(_tensors("self", "exponent"), RowRule.ELEMENTWISE, Gate.NONE),
        Op.POW_TENSOR_SCALAR: _unary(Gate.LINEAR, *_numbers("exponent")),
        Op.POW_SCALAR: OpSpec((*_numbers("self"), *_tensors("exponent")), RowRule.ELEMENTWISE, Gate.NONE),
        Op.MAXIMUM: _binary(Gate.SELECT),
        Op.MINIMUM: _binary(Gate.SELECT),
        Op.CLAMP: _unary(Gate.SELECT, *_numbers("min", "max", optional=True)),
        Op.NEG: _unary(Gate.LOCAL),
        Op.ABS: _unary(Gate.SELECT),
        Op.SIGN: _unary(Gate.SELECT),
        Op.FLOOR: _unary(Gate.NONE),
        Op.CEIL: _unary(Gate.NONE),
        Op.ROUND: _unary(Gate.NONE),
        Op.SQRT: _unary(Gate.SMOOTH),
        Op.RSQRT: _unary(Gate.SMOOTH),
        Op.RECIPROCAL: _unary(Gate.SMOOTH),
        Op.EXP: _unary(Gate.SMOOTH),
        Op.LOG: _unary(Gate.SMOOTH),
        Op.LOG1P: _unary(Gate.SMOOTH),
        Op.SIN: _unary(Gate.SMOOTH),
        Op.COS: _unary(Gate.SMOOTH),
        Op.SIGMOID: _unary(Gate.SMOOTH),
        Op.TANH: _unary(Gate.SMOOTH),
        Op.ERF: _unary(Gate.SMOOTH),
        Op.RELU: _unary(Gate.SELECT),
        Op.LEAKY_RELU: _unary(Gate.SELECT, *_numbers("negative_slope")),
        Op.HARDTANH: _unary(Gate.SELECT, *_numbers("min_val", "max_val")),
        Op.GELU: _unary(Gate.SMOOTH, Param("approximate", ArgKind.STR, choices=("none", "tanh"))),
        Op.WHERE_SELF: OpSpec(_tensors("condition", "self", "other"), RowRule.ELEMENTWISE, Gate.SELECT),
        Op.TO_COPY: _unary(Gate.LOCAL, Param("dtype", ArgKind.DTYPE)),
        Op.EQ_TENSOR: _binary(Gate.COMPARE),
        Op.EQ_SCALAR: _scalar(Gate.COMPARE),
        Op.NE_TENSOR: _binary(Gate.COMPARE),
        Op.NE_SCALAR: _scalar(Gate.COMPARE),
        Op.LT_TENSOR: _binary(Gate.COMPARE),
        Op.LT_SCALAR: _scalar(Gate.COMPARE),
        Op.LE_TENSOR: _binary(Gate.COMPARE),
        Op.LE_SCALAR: _scalar(Gate.COMPARE),
        Op.GT_TENSOR: _binary(Gate.COMPARE),
        Op.GT_SCALAR: _scalar(Gate.COMPARE),
        Op.GE_TENSOR: _binary(Gate.COMPARE),
        Op.GE_SCALAR: _scalar(Gate.COMPARE),
        Op.LOGICAL_AND: _binary(Gate.NONE),
        Op.LOGICAL_OR: _binary(Gate.NONE),
        Op.LOGICAL_XOR: _binary(Gate.NONE),
        Op.LOGICAL_NOT: _unary(Gate.NONE),
        Op.ISNAN: _unary(Gate.NONE),
        Op.SUM_DIM_INTLIST: _reduce(Gate.LOCAL, *_DTYPE),
        Op.MEAN_DIM: _reduce(Gate.LINEAR, *_DTYPE),
        Op.VAR_CORRECTION: OpSpec(
            (
                *_tensors("self"),
                *_int_lists("dim", optional=True),
                *_numbers("correction", optional=True),
                *_flags("keepdim"),
            ),
            RowRule.REDUCE,
            Gate.NONE,
            CostRule.IN,
        ),
        Op.ANY_DIMS: _reduce(Gate.NONE, rows=RowRule.ORDER),
        Op.ALL_DIMS: _reduce(Gate.NONE, rows=RowRule.ORDER),
        Op.CUMSUM: OpSpec((*_tensors("self"), *_integers("dim"), *_DTYPE), RowRule.SCAN, Gate.LOCAL),
        Op.HISTC: OpSpec(
            (*_tensors("self"), *_integers("bins"), *_numbers("min", "max")),
            RowRule.REDUCE,
            Gate.NONE,
            CostRule.IN,
        ),
        Op.AMAX: _reduce(Gate.SELECT, rows=RowRule.ORDER),
        Op.AMIN: _reduce(Gate.SELECT, rows=RowRule.ORDER),
        Op.ARGMAX: OpSpec(_ARG, RowRule.ORDER, Gate.SELECT, CostRule.IN),
        Op.ARGMIN: OpSpec(_ARG, RowRule.ORDER, Gate.SELECT, CostRule.IN),
        Op.MEDIAN_DIM: OpSpec(
            (*_tensors("self"), *_integers("dim"), *_flags("keepdim")),
            RowRule.ORDER,
            Gate.NONE,
            CostRule.SORT,
            results=2,
        ),
        Op.QUANTILE_SCALAR: OpSpec(
            (
                *_tensors("self"),
                *_numbers("q"),
                *_integers("dim", optional=True),
                *_flags("keepdim"),
                Param(
                    "interpolation", ArgKind.STR, choices=("linear", "lower", "higher", "midpoint", "nearest")
                ),
            ),
            RowRule.ORDER,
            Gate.NONE,
            CostRule.SORT,
        ),
        Op.SORT: OpSpec(
            (*_tensors("self"), *_integers("dim"), *_flags("descending")),
            RowRule.ORDER,
            Gate.NONE,
            CostRule.SORT,
            results=2,
        ),
        Op.MM: OpSpec(_tensors("self", "mat2"), RowRule.MATMUL, Gate.LINEAR, CostRule.MATMUL),
        Op.BMM: OpSpec(_tensors("self", "mat2"), RowRule.MATMUL, Gate.LINEAR, CostRule.MATMUL),
        Op.ADDMM: OpSpec(
            (*_tensors("self", "mat1", "mat2"), *_numbers("beta", "alpha")),
            RowRule.MATMUL,
            Gate.LINEAR,
            CostRule.MATMUL,
        ),
        Op.VIEW: _shape(*_SIZE),
        Op.PERMUTE: _shape(*_int_lists("dims")),
        Op.UNSQUEEZE: _shape(*_integers("dim")),
        Op.SQUEEZE_DIMS: _shape(*_int_lists("dim")),
        Op.EXPAND: _shape(*_SIZE),
        Op.CAT: OpSpec(
            (Param("tensors", ArgKind.TENSORS), *_integers("dim")), RowRule.SHAPE, Gate.LOCAL, CostRule.OUT
        ),
        Op.CONSTANT_PAD_ND: _shape(*_int_lists("pad"), *_numbers("value"), cost=CostRule.OUT),
        Op.SELECT_INT: OpSpec(
            (*_tensors("self"), *_integers("dim", "index")), RowRule.SELECTION, Gate.LOCAL, CostRule.FREE
        ),
        Op.SLICE_TENSOR: OpSpec(
            (
                *_tensors("self"),
                *_integers("dim"),
                *_integers("start", "end", optional=True),
                *_integers("step"),
            ),
            RowRule.SELECTION,
            Gate.LOCAL,
            CostRule.FREE,
        ),
        Op.INDEX_SELECT: OpSpec(
            (*_tensors("self"), *_integers("dim"), *_tensors("index")), RowRule.SELECTION, Gate.LOCAL
        ),
        Op.INDEX_TENSOR: OpSpec(
            (*_tensors("self"), Param("indices", ArgKind.INDICES)), RowRule.SELECTION, Gate.NONE
        ),
        Op.GATHER: OpSpec(
            (*_tensors("self"), *_integers("dim"), *_tensors("index")), RowRule.SELECTION, Gate.NONE
        ),
        Op.EMBEDDING: OpSpec(_tensors("weight", "indices"), RowRule.SELECTION, Gate.NONE),
        Op.FULL: OpSpec(
            (*_SIZE, *_numbers("fill_value"), Param("dtype", ArgKind.DTYPE)), RowRule.FACTORY, Gate.PUBLIC
        ),
        Op.ARANGE_START_STEP: OpSpec(
            (*_numbers("start", "end", "step"), Param("dtype", ArgKind.DTYPE)), RowRule.FACTORY, Gate.PUBLIC
        ),
        Op.CONVOLUTION: OpSpec(
            (*_tensors("input", "weight"), *_maybe("bias"), *_CONV),
            RowRule.WINDOW,
            Gate.LINEAR,
            CostRule.CONVOLUTION,
        ),
        Op.MAX_POOL2D_WITH_INDICES: OpSpec(
            (*_tensors("self"), *_POOL, *_int_lists("dilation"), *_flags("ceil_mode")),
            RowRule.WINDOW,
            Gate.SELECT,
            CostRule.WINDOW,
            results=2,
        ),
        Op.AVG_POOL2D: OpSpec((*_tensors("self"), *_AVG_POOL), RowRule.WINDOW, Gate.LINEAR, CostRule.WINDOW),
        Op.ADAPTIVE_AVG_POOL2D: OpSpec(
            (*_tensors("self"), *_int_lists("output_size")), RowRule.WINDOW, Gate.LINEAR, CostRule.IN
        ),
        Op.SOFTMAX: OpSpec(
            (*_tensors("self"), *_integers("dim"), *_flags("half_to_float")),
            RowRule.SCAN,
            Gate.SMOOTH,
            CostRule.IN,
        ),
        Op.LOG_SOFTMAX: OpSpec(
            (*_tensors("self"), *_integers("dim"), *_flags("half_to_float")),
            RowRule.SCAN,
            Gate.SMOOTH,
            CostRule.IN,
        ),
        Op.NATIVE_LAYER_NORM: OpSpec(
            (
                *_tensors("input"),
                *_int_lists("normalized_shape"),
                *_maybe("weight", "bias"),
                *_numbers("eps"),
            ),
            RowRule.WINDOW,
            Gate.SMOOTH,
            CostRule.IN,
            results=3,
        ),
        Op.BATCH_NORM_NO_TRAINING: OpSpec(
            (
                *_tensors("input"),
                *_maybe("weight", "bias"),
                *_tensors("running_mean", "running_var"),
                *_numbers("momentum", "eps"),
            ),
            RowRule.WINDOW,
            Gate.LINEAR,
            CostRule.IN,
            results=3,
        ),
        Op.NLL_LOSS_FORWARD: _gradient(
            *_tensors("self", "target"), *_maybe("weight"), *_integers("reduction", "ignore_index"), results=2
        ),
        Op.THRESHOLD_BACKWARD: OpSpec(
            (*_tensors("grad_output", "self"), *_numbers("threshold")), RowRule.ELEMENTWISE, Gate.NONE
        ),
        Op.CONVOLUTION_BACKWARD: _gradient(
            *_tensors("grad_output", "input", "weight"),
            *_int_lists("bias_sizes", optional=True),
            *_CONV,
            Param("output_mask", ArgKind.BOOLS),
            cost=CostRule.CONVOLUTION_BACKWARD,
            results=3,
        ),
        Op.MAX_POOL2D_WITH_INDICES_BACKWARD: _gradient(
            *_tensors("grad_output", "self"),
            *_POOL,
            *_int_lists("dilation"),
            *_flags("ceil_mode"),
            *_tensors("indices"),
        ),
        Op.AVG_POOL2D_BACKWARD: _gradient(*_tensors("grad_output", "self"), *_AVG_POOL),
        Op.ADAPTIVE_AVG_POOL2D_BACKWARD: _gradient(*_tensors("grad_output", "self")),
        Op.SOFTMAX_BACKWARD_DATA: _gradient(
            *_tensors("grad_output", "output"), *_integers("dim"), Param("input_dtype", ArgKind.DTYPE)
        ),
        Op.LOG_SOFTMAX_BACKWARD_DATA: _gradient(
            *_tensors("grad_output", "output"), *_integers("dim"), Param("input_dtype", ArgKind.DTYPE)
        ),
        Op.NLL_LOSS_BACKWARD: _gradient(
            *_tensors("grad_output", "self", "target"),
            *_maybe("weight"),
            *_integers("reduction", "ignore_index"),
            *_tensors("total_weight"),
        ),
        Op.EMBEDDING_DENSE_BACKWARD: _gradient(
            *_tensors("grad_output", "indices"),
            *_integers("num_weights", "padding_idx"),
            *_flags("scale_grad_by_freq"),
        ),
    }
)
