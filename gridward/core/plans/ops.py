"""The closed set of operations and the vocabulary that describes them; ``table.SPECS`` describes each.

Names and meanings are PyTorch's core-ATen overloads; none of them changed its schema from torch 2.4 to 2.13.
Layout, device, memory format and random-generator arguments are left out of the document: an executor chooses
them. Adding an op is one member, one entry of ``table.SPECS``, one rule in ``executors/plain.py``, its tests.
"""

from dataclasses import dataclass
from enum import StrEnum


class Op(StrEnum):
    """Core-ATen overloads; a member is named by its overload: dots become underscores, `.default` goes."""

    # arithmetic, element by element
    ADD_TENSOR = "aten.add.Tensor"
    ADD_SCALAR = "aten.add.Scalar"
    SUB_TENSOR = "aten.sub.Tensor"
    SUB_SCALAR = "aten.sub.Scalar"
    RSUB_SCALAR = "aten.rsub.Scalar"
    MUL_TENSOR = "aten.mul.Tensor"
    MUL_SCALAR = "aten.mul.Scalar"
    DIV_TENSOR = "aten.div.Tensor"
    DIV_SCALAR = "aten.div.Scalar"
    DIV_TENSOR_MODE = "aten.div.Tensor_mode"
    DIV_SCALAR_MODE = "aten.div.Scalar_mode"
    REMAINDER_TENSOR = "aten.remainder.Tensor"
    REMAINDER_SCALAR = "aten.remainder.Scalar"
    POW_TENSOR_TENSOR = "aten.pow.Tensor_Tensor"
    POW_TENSOR_SCALAR = "aten.pow.Tensor_Scalar"
    POW_SCALAR = "aten.pow.Scalar"
    MAXIMUM = "aten.maximum.default"
    MINIMUM = "aten.minimum.default"
    CLAMP = "aten.clamp.default"
    NEG = "aten.neg.default"
    ABS = "aten.abs.default"
    SIGN = "aten.sign.default"
    FLOOR = "aten.floor.default"
    CEIL = "aten.ceil.default"
    ROUND = "aten.round.default"
    SQRT = "aten.sqrt.default"
    RSQRT = "aten.rsqrt.default"
    RECIPROCAL = "aten.reciprocal.default"
    EXP = "aten.exp.default"
    LOG = "aten.log.default"
    LOG1P = "aten.log1p.default"
    SIN = "aten.sin.default"
    COS = "aten.cos.default"
    SIGMOID = "aten.sigmoid.default"
    TANH = "aten.tanh.default"
    ERF = "aten.erf.default"
    RELU = "aten.relu.default"
    LEAKY_RELU = "aten.leaky_relu.default"
    HARDTANH = "aten.hardtanh.default"
    GELU = "aten.gelu.default"
    WHERE_SELF = "aten.where.self"
    TO_COPY = "aten._to_copy.default"
    # comparison and logic
    EQ_TENSOR = "aten.eq.Tensor"
    EQ_SCALAR = "aten.eq.Scalar"
    NE_TENSOR = "aten.ne.Tensor"
    NE_SCALAR = "aten.ne.Scalar"
    LT_TENSOR = "aten.lt.Tensor"
    LT_SCALAR = "aten.lt.Scalar"
    LE_TENSOR = "aten.le.Tensor"
    LE_SCALAR = "aten.le.Scalar"
    GT_TENSOR = "aten.gt.Tensor"
    GT_SCALAR = "aten.gt.Scalar"
    GE_TENSOR = "aten.ge.Tensor"
    GE_SCALAR = "aten.ge.Scalar"
    LOGICAL_AND = "aten.logical_and.default"
    LOGICAL_OR = "aten.logical_or.default"
    LOGICAL_XOR = "aten.logical_xor.default"
    LOGICAL_NOT = "aten.logical_not.default"
    ISNAN = "aten.isnan.default"
    # reductions
    SUM_DIM_INTLIST = "aten.sum.dim_IntList"
    MEAN_DIM = "aten.mean.dim"
    VAR_CORRECTION = "aten.var.correction"
    ANY_DIMS = "aten.any.dims"
    ALL_DIMS = "aten.all.dims"
    CUMSUM = "aten.cumsum.default"
    HISTC = "aten.histc.default"
    # order statistics
    AMAX = "aten.amax.default"
    AMIN = "aten.amin.default"
    ARGMAX = "aten.argmax.default"
    ARGMIN = "aten.argmin.default"
    MEDIAN_DIM = "aten.median.dim"
    QUANTILE_SCALAR = "aten.quantile.scalar"
    SORT = "aten.sort.default"
    # products
    MM = "aten.mm.default"
    BMM = "aten.bmm.default"
    ADDMM = "aten.addmm.default"
    # shapes
    VIEW = "aten.view.default"
    PERMUTE = "aten.permute.default"
    UNSQUEEZE = "aten.unsqueeze.default"
    SQUEEZE_DIMS = "aten.squeeze.dims"
    EXPAND = "aten.expand.default"
    CAT = "aten.cat.default"
    CONSTANT_PAD_ND = "aten.constant_pad_nd.default"
    # selection
    SELECT_INT = "aten.select.int"
    SLICE_TENSOR = "aten.slice.Tensor"
    INDEX_SELECT = "aten.index_select.default"
    INDEX_TENSOR = "aten.index.Tensor"
    GATHER = "aten.gather.default"
    EMBEDDING = "aten.embedding.default"
    # values from nothing
    FULL = "aten.full.default"
    ARANGE_START_STEP = "aten.arange.start_step"
    # layers
    CONVOLUTION = "aten.convolution.default"
    MAX_POOL2D_WITH_INDICES = "aten.max_pool2d_with_indices.default"
    AVG_POOL2D = "aten.avg_pool2d.default"
    ADAPTIVE_AVG_POOL2D = "aten._adaptive_avg_pool2d.default"
    SOFTMAX = "aten._softmax.default"
    LOG_SOFTMAX = "aten._log_softmax.default"
    NATIVE_LAYER_NORM = "aten.native_layer_norm.default"
    BATCH_NORM_NO_TRAINING = "aten._native_batch_norm_legit_no_training.default"
    NLL_LOSS_FORWARD = "aten.nll_loss_forward.default"
    # gradients of layers
    THRESHOLD_BACKWARD = "aten.threshold_backward.default"
    CONVOLUTION_BACKWARD = "aten.convolution_backward.default"
    MAX_POOL2D_WITH_INDICES_BACKWARD = "aten.max_pool2d_with_indices_backward.default"
    AVG_POOL2D_BACKWARD = "aten.avg_pool2d_backward.default"
    ADAPTIVE_AVG_POOL2D_BACKWARD = "aten._adaptive_avg_pool2d_backward.default"
    SOFTMAX_BACKWARD_DATA = "aten._softmax_backward_data.default"
    LOG_SOFTMAX_BACKWARD_DATA = "aten._log_softmax_backward_data.default"
    NLL_LOSS_BACKWARD = "aten.nll_loss_backward.default"
    EMBEDDING_DENSE_BACKWARD = "aten.embedding_dense_backward.default"


class ArgKind(StrEnum):
    """What one argument of a step may be; the Python type in ``Step.args`` stands behind the colon."""

    TENSOR = "tensor"  # Ref
    TENSORS = "tensors"  # tuple[Ref, ...], at least one
    INDICES = "indices"  # tuple[Ref | None, ...], at least one Ref
    INT = "int"  # int
    INTS = "ints"  # tuple[int, ...]
    SIZES = "sizes"  # tuple[Size, ...]; -1 where the op infers a size
    NUM = "num"  # int, float or bool
    BOOL = "bool"  # bool
    BOOLS = "bools"  # tuple[bool, ...]
    STR = "str"  # str out of `choices`
    DTYPE = "dtype"  # DType


class RowRule(StrEnum):
    """How rows (the leading dimension of a data input) of the results depend on rows of the operands.

    ``privacy.analysis`` reads it together with the step's arguments, found by ``OpSpec.position``.
    """

    FACTORY = "factory"  # depends on no value, at most on sizes
    ELEMENTWISE = "elementwise"  # out[i] from the broadcast operands' [i]
    REDUCE = "reduce"  # adds up over `dim` (all where None); bounded influence of one row
    SCAN = "scan"  # keeps the shape, mixes along `dim` (softmax, cumulative sum, norms)
    MATMUL = "matmul"  # contracts the last dimension of one factor with the last but one of the other
    WINDOW = "window"  # (N, C, ...) layers: N is kept apart, the rest is mixed; parameters touch every row
    SHAPE = "shape"  # moves values without changing any
    SELECTION = "selection"  # keeps some values: by index, slice or mask
    ORDER = "order"  # an order statistic over `dim`: one row's value may come out unchanged
    REFUSED = "refused"  # mixes rows in a way the analysis does not follow (losses and gradients)


class Gate(StrEnum):
    """Which family of encrypted gates serves the op; NONE where encrypted runs refuse it."""

    NONE = "none"
    PUBLIC = "public"  # depends on public values only: every party computes it in the clear
    LOCAL = "local"  # each party alone, on its share
    LINEAR = "linear"  # a product, then a truncation
    COMPARE = "compare"
    SELECT = "select"  # comparisons and choices: relu, max, pool
    SMOOTH = "smooth"  # look-up tables and polynomials


class CostRule(StrEnum):
    """How elementary operations are counted from the shapes."""

    FREE = "free"  # views
    OUT = "out"  # one for each element of the results
    IN = "in"  # one for each element of the operands and results
    SORT = "sort"  # elements times the logarithm of their number
    MATMUL = "matmul"
    CONVOLUTION = "convolution"
    CONVOLUTION_BACKWARD = "convolution_backward"
    WINDOW = "window"  # elements of the result times the kernel's size


@dataclass(frozen=True, slots=True)
class Param:
    """One argument of an op. ``optional`` admits None; a STR is one of ``choices``."""

    name: str
    kind: ArgKind
    optional: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpSpec:
    """What every reader of plans needs to know of one op. ``results`` counts the values a step names."""

    params: tuple[Param, ...]
    rows: RowRule
    gate: Gate
    cost: CostRule = CostRule.OUT
    results: int = 1

    def position(self, name: str) -> int | None:
        """Give the place of a named argument in ``Step.args``; None if the op has no such argument."""
        return next((at for at, param in enumerate(self.params) if param.name == name), None)
