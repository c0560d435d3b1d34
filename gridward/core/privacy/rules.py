"""For each op, how rows flow through it. Total over the op table; what is not followed is refused.

Every rule is an allowance: an op whose rule does not understand its arguments raises ``MixingError``. Values
without rows may meet in any op, since a function of public values and aggregates is no more than that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Argument, DType, Ref, Step
from gridward.core.plans.table import SPECS
from gridward.core.plans.validate import references
from gridward.core.privacy.flow import (
    NEW,
    Free,
    Known,
    MixingError,
    Mode,
    Rows,
    Shape,
    contracted,
    elementwise,
    free,
    masks_of,
    rearranged,
    reduced,
    rows_of,
    uneven,
    within,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One step with what is known of its operands. ``counted``: masks and bins are counted at run time."""

    step: Step
    flows: Mapping[str, Known]
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, DType]
    counted: bool

    def argument(self, name: str) -> Argument:
        """Give the argument of this name."""
        at = SPECS[self.step.op].position(name)
        if at is None or at >= len(self.step.args):
            raise MixingError(f"its argument {name} is missing")
        return self.step.args[at]

    def maybe(self, name: str) -> Known | None:
        """What is known of a tensor argument; None where it is absent."""
        given = self.argument(name)
        return self.flows[given.name] if isinstance(given, Ref) else None

    def flow(self, name: str) -> Known:
        """What is known of a tensor argument."""
        found = self.maybe(name)
        if found is None:
            raise MixingError(f"its argument {name} is missing")
        return found

    def operands(self) -> list[Known]:
        """All tensor arguments, in order; one that is used twice counts twice."""
        return [self.flows[name] for name in references(self.step)]

    def shape(self, result: int = 0) -> Shape:
        """Shape of a result."""
        return self.shapes.get(self.step.out[result], ())

    def integer(self, name: str) -> int:
        """Give an integer argument."""
        given = self.argument(name)
        if isinstance(given, bool) or not isinstance(given, int):
            raise MixingError(f"its argument {name} is not an integer")
        return given

    def integers(self, name: str) -> tuple[int, ...]:
        """Give a list of integers, empty where it is absent."""
        given = self.argument(name)
        if given is None:
            return ()
        if not isinstance(given, tuple) or not all(isinstance(item, int) for item in given):
            raise MixingError(f"its argument {name} is not a list of integers")
        return tuple(item for item in given if isinstance(item, int))

    def decides(self) -> bool:
        """Say whether the result is a mask."""
        return self.dtypes.get(self.step.out[0]) is DType.BOOL


_FLOATS: Final = (DType.FLOAT32, DType.FLOAT64)

Rule: TypeAlias = Callable[[Call], Known | tuple[Known, ...]]


def _axis(dim: int, rank: int) -> int:
    """Count an axis from the right."""
    axis = dim if dim < 0 else dim - rank
    if not -max(rank, 1) <= axis < 0:
        raise MixingError("it names an axis that does not exist")
    return axis


def _axes(call: Call, name: str, flow: Known) -> frozenset[int]:
    """Axes that a reduction runs over; none given means all, as in torch."""
    rank = len(flow.shape)
    given = call.argument(name)
    dims = (given,) if isinstance(given, int) else call.integers(name)
    return frozenset(_axis(dim, rank) for dim in dims) if dims else frozenset(range(-rank, 0))


def _mode(call: Call, mode: Mode) -> Mode:
    return Mode.DECISION if call.decides() else mode


def _each(mode: Mode, call: Call) -> Known:
    """Integers wrap and truncate, so that a sum of them is any function."""
    linear = mode is not Mode.LINEAR or call.dtypes.get(call.step.out[0]) in _FLOATS
    return elementwise(call.operands(), call.shape(), _mode(call, mode if linear else Mode.ANY))


def _quotient(call: Call) -> Known:
    divisor = call.flow("other")
    masked = isinstance(divisor, Rows) and bool(divisor.masks)
    return elementwise(call.operands(), call.shape(), _mode(call, Mode.ANY if masked else Mode.PRODUCT))


def _reduce(mode: Mode, call: Call) -> Known:
    flow = call.flow("self")
    keepdim = call.argument("keepdim") is True
    return reduced(flow, _axes(call, "dim", flow), keepdim=keepdim, shape=call.shape(), mode=mode)


def _within(call: Call) -> Known | tuple[Known, ...]:
    flow = call.flow("self")
    keepdim = call.argument("keepdim") is True
    over = _axes(call, "dim", flow)
    mode = _mode(call, Mode.ANY)
    kept = tuple(
        within(flow, over, keepdim=keepdim, shape=call.shape(at), mode=mode)
        for at in range(len(call.step.out))
    )
    return kept if len(kept) > 1 else kept[0]


def _along(mode: Mode, call: Call) -> Known | tuple[Known, ...]:
    """Ops that mix along ``dim`` and keep the shape."""
    axis = _axis(call.integer("dim"), len(call.shape()))
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
    return contracted(call.flow("self"), call.flow("mat2"), letters, call.shape())


def _affine(call: Call) -> Known:
    product = contracted(call.flow("mat1"), call.flow("mat2"), "ik,kj->ij", call.shape())
    return elementwise([call.flow("self"), product], call.shape(), Mode.LINEAR)


def _view(call: Call) -> Known:
    """An axis survives where the sizes before it and its own stay the same."""
    flow, shape = call.flow("self"), call.shape()
    origins = view_origins(flow.shape, shape)
    if isinstance(flow, Rows) and flow.shape[flow.axis] == 1:
        # a table of one row: any axis of one at the same place will do
        before = _leading(flow.shape, flow.axis + len(flow.shape))
        places = [at for at, size in enumerate(shape) if size == 1 and _leading(shape, at) == before]
        origins = [flow.axis if at in places[:1] else origin for at, origin in enumerate(origins)]
    return rearranged(flow, origins, shape)


def view_origins(old: Shape, new: Shape) -> list[int | None]:
    """For each axis of a reshaped value: the axis it came from, or None for a mixture."""
    starts = {_leading(old, at): at - len(old) for at in range(len(old)) if old[at] != 1}
    origins: list[int | None] = []
    for at, size in enumerate(new):
        source = starts.get(_leading(new, at))
        same = source is not None and old[source] == size
        origins.append(NEW if size == 1 else source if same else None)
    return origins


def _leading(shape: Shape, at: int) -> int:
    count = 1
    for size in shape[:at]:
        count *= size
    return count


def _permute(call: Call) -> Known:
    flow = call.flow("self")
    origins = [_axis(dim, len(flow.shape)) for dim in call.integers("dims")]
    return rearranged(flow, origins, call.shape())


def _unsqueeze(call: Call) -> Known:
    flow, shape = call.flow("self"), call.shape()
    at = _axis(call.integer("dim"), len(shape)) + len(shape)
    origins: list[int | None] = list(range(-len(flow.shape), 0))
    origins.insert(at, NEW)
    return rearranged(flow, origins, shape)


def _squeeze(call: Call) -> Known:
    flow = call.flow("self")
    rank = len(flow.shape)
    gone = {axis for axis in (_axis(dim, rank) for dim in call.integers("dim")) if flow.shape[axis] == 1}
    return rearranged(flow, [axis for axis in range(-rank, 0) if axis not in gone], call.shape())


def _expand(call: Call) -> Known:
    flow, shape = call.flow("self"), call.shape()
    rank = len(flow.shape)
    origins = [
        axis if -axis <= rank and flow.shape[axis] == shape[axis] else NEW for axis in range(-len(shape), 0)
    ]
    return rearranged(flow, origins, shape)


def _cat(call: Call) -> Known:
    operands, shape = call.operands(), call.shape()
    axis = _axis(call.integer("dim"), len(shape))
    if any(len(flow.shape) != len(shape) for flow in operands):
        raise MixingError("it joins values of different rank")
    rows = rows_of(operands)
    if any(flow.axis == axis for flow in rows):
        raise MixingError("it puts rows behind one another")
    joined = elementwise(operands, shape, Mode.LINEAR)
    if isinstance(joined, Free):
        return Free(joined.private, shape, (joined.varies | {axis}) & uneven(shape))
    return joined


def _pad(call: Call) -> Known:
    flow, shape = call.flow("self"), call.shape()
    pad = call.integers("pad")
    padded = {-1 - at // 2 for at, width in enumerate(pad) if width}
    origins = [None if axis in padded else axis for axis in range(-len(shape), 0)]
    if isinstance(flow, Free):
        # a margin makes even what was uniform uneven
        return Free(flow.private, shape, (flow.varies | padded) & uneven(shape))
    return rearranged(flow, origins, shape)


def _select(call: Call) -> Known:
    flow = call.flow("self")
    rank = len(flow.shape)
    gone = _axis(call.integer("dim"), rank)
    return rearranged(flow, [axis for axis in range(-rank, 0) if axis != gone], call.shape())


def _slice(call: Call) -> Known:
    """A slice keeps an axis only if it keeps all of it."""
    flow, shape = call.flow("self"), call.shape()
    rank = len(flow.shape)
    cut = _axis(call.integer("dim"), rank)
    whole = shape[cut] == flow.shape[cut] and call.integer("step") == 1
    origins = [None if axis == cut and not whole else axis for axis in range(-rank, 0)]
    return rearranged(flow, origins, shape)


def _index_select(call: Call) -> Known:
    flow, index = call.flow("self"), call.flow("index")
    if isinstance(index, Rows):
        raise MixingError("it selects by the values of rows")
    rank = len(flow.shape)
    if isinstance(flow, Free):
        return free([flow, index], call.shape())
    cut = _axis(call.integer("dim"), rank)
    origins = [None if axis == cut else axis for axis in range(-rank, 0)]
    return rearranged(flow, origins, call.shape())


def _free_only(reason: str, call: Call) -> Known | tuple[Known, ...]:
    """Refuse rows; values without rows may do anything."""
    operands = call.operands()
    if rows_of(operands):
        raise MixingError(reason)
    every = tuple(free(operands, call.shape(at)) for at in range(len(call.step.out)))
    return every if len(every) > 1 else every[0]


def _embedding(call: Call) -> Known:
    weight, indices = call.flow("weight"), call.flow("indices")
    if isinstance(weight, Rows):
        raise MixingError("it selects rows by number")
    if isinstance(indices, Free):
        return free([weight, indices], call.shape())
    return Rows(call.shape(), indices.axis - 1, indices.table, masks_of([indices], Mode.ANY))


def _full(call: Call) -> Known:
    return Free(False, call.shape(), frozenset())


def batch_rows(call: Call, *names: str) -> Rows | None:
    """The rows of operands (N, ...) of a layer: all over axis 0 of one table; None where none has rows."""
    flows = [call.flow(name) for name in names]
    rows = rows_of(flows)
    if not rows:
        return None
    if len(rows) != len(flows):
        raise MixingError("it pairs rows with values that are not rows")
    first = rows[0]
    if any(flow.table != first.table or flow.axis != -len(flow.shape) for flow in rows):
        raise MixingError("its batch is not the rows of one dataset")
    masks = masks_of(flows, Mode.ANY)
    return Rows(first.shape, first.axis, first.table, masks)


def at_front(rows: Rows, shape: Shape) -> Rows:
    """A result (N, ...) of a layer over these rows."""
    if not shape or shape[0] != rows.shape[rows.axis]:
        raise MixingError("its batch is not the rows of one dataset")
    return Rows(shape, -len(shape), rows.table, rows.masks)


def parameters(call: Call, *names: str) -> None:
    """Refuse rows where a layer expects parameters that touch every row."""
    if any(isinstance(call.maybe(name), Rows) for name in names):
        raise MixingError("it uses rows as parameters, which would pair rows with rows")


def over_batch(call: Call, batch: tuple[str, ...], shared: tuple[str, ...], rank: int | None) -> Rows | None:
    """The rows that a layer runs over, once its operands are what they should be."""
    rows = batch_rows(call, *batch)
    if rows is None:
        parameters(call, *shared)
        return None
    parameters(call, *shared)
    if rank is not None and len(rows.shape) != rank:
        raise MixingError("its operand has no batch axis")
    return rows


def layer(
    batch: tuple[str, ...], shared: tuple[str, ...], rank: int | None, kept: tuple[bool, ...], call: Call
) -> Known | tuple[Known, ...]:
    """A layer: results marked in ``kept`` keep the rows, the others add up over them.

    A gradient that a step leaves out has no shape, and no step can read it.
    """
    rows = over_batch(call, batch, shared, rank)
    if rows is None:
        return _free_only("it pairs rows with values that are not rows", call)
    results = tuple(
        at_front(rows, call.shape(at))
        if keeps and call.step.out[at] in call.shapes
        else Free(True, call.shape(at), uneven(call.shape(at)))
        for at, keeps in enumerate(kept)
        if at < len(call.step.out)
    )
    return results if len(results) > 1 else results[0]


def _convolution(call: Call) -> Known | tuple[Known, ...]:
    rank = len(call.flow("weight").shape)
    return layer(("input",), ("weight", "bias"), rank, (True,), call)


def _convolution_backward(call: Call) -> Known | tuple[Known, ...]:
    rank = len(call.flow("weight").shape)
    return layer(("grad_output", "input"), ("weight",), rank, (True, False, False), call)


def _layer_norm(call: Call) -> Known | tuple[Known, ...]:
    flow = call.flow("input")
    if isinstance(flow, Rows) and -flow.axis <= len(call.integers("normalized_shape")):
        raise MixingError("it normalises over rows")
    return layer(("input",), ("weight", "bias"), None, (True, True, True), call)


def _batch_norm(call: Call) -> Known | tuple[Known, ...]:
    shared = ("weight", "bias", "running_mean", "running_var")
    rows = over_batch(call, ("input",), shared, None)
    if rows is None:
        return _free_only("it pairs rows with values that are not rows", call)
    rest = tuple(free([], call.shape(at)) for at in range(1, len(call.step.out)))
    return (at_front(rows, call.shape()), *rest)


def _nll_rows(call: Call) -> Rows | None:
    rows = over_batch(call, ("self", "target"), ("weight",), None)
    if rows is not None and len(call.flow("self").shape) < 2:
        raise MixingError("its operand has no batch axis")
    return rows


def _nll_loss(call: Call) -> Known | tuple[Known, ...]:
    rows = _nll_rows(call)
    if rows is None:
        return _free_only("it pairs rows with values that are not rows", call)
    loss, weight = call.shape(0), call.shape(1)
    total = Free(True, weight, uneven(weight))
    if call.integer("reduction") == 0:
        return at_front(rows, loss), total
    return Free(True, loss, uneven(loss)), total


def _nll_loss_backward(call: Call) -> Known | tuple[Known, ...]:
    rows = _nll_rows(call)
    parameters(call, "total_weight")
    if rows is None:
        return _free_only("it pairs rows with values that are not rows", call)
    gradient = call.flow("grad_output")
    if call.integer("reduction") == 0:
        batch_rows(call, "grad_output", "self")
    elif isinstance(gradient, Rows) or len(gradient.shape) > 0:
        raise MixingError("its gradient is not a single number")
    return at_front(rows, call.shape())


_LINEAR: Final[Rule] = partial(_each, Mode.LINEAR)
_PRODUCT: Final[Rule] = partial(_each, Mode.PRODUCT)
_ANY: Final[Rule] = partial(_each, Mode.ANY)
_ADD_UP: Final[Rule] = partial(_reduce, Mode.LINEAR)
_SCAN: Final[Rule] = partial(_along, Mode.ANY)
_NO_ROWS: Final[Rule] = partial(_free_only, "it is not followed through rows")
_BY_NUMBER: Final[Rule] = partial(
    _free_only, "it selects rows; mask with where(condition, value, 0) and divide by the count instead"
)
_POOL: Final[Rule] = partial(layer, ("self",), (), 4, (True, True))
_POOL_BACKWARD: Final[Rule] = partial(layer, ("grad_output", "self"), (), 4, (True,))
_MAX_POOL_BACKWARD: Final[Rule] = partial(layer, ("grad_output", "self", "indices"), (), 4, (True,))

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
        Op.VIEW: _view,
        Op.PERMUTE: _permute,
        Op.UNSQUEEZE: _unsqueeze,
        Op.SQUEEZE_DIMS: _squeeze,
        Op.EXPAND: _expand,
        Op.CAT: _cat,
        Op.CONSTANT_PAD_ND: _pad,
        Op.SELECT_INT: _select,
        Op.SLICE_TENSOR: _slice,
        Op.INDEX_SELECT: _index_select,
        Op.INDEX_TENSOR: _BY_NUMBER,
        Op.GATHER: _BY_NUMBER,
        Op.EMBEDDING: _embedding,
        Op.FULL: _full,
        Op.ARANGE_START_STEP: _NO_ROWS,
        Op.CONVOLUTION: _convolution,
        Op.MAX_POOL2D_WITH_INDICES: _POOL,
        Op.AVG_POOL2D: _POOL,
        Op.ADAPTIVE_AVG_POOL2D: _POOL,
        Op.SOFTMAX: _SCAN,
        Op.LOG_SOFTMAX: _SCAN,
        Op.NATIVE_LAYER_NORM: _layer_norm,
        Op.BATCH_NORM_NO_TRAINING: _batch_norm,
        Op.NLL_LOSS_FORWARD: _nll_loss,
        Op.THRESHOLD_BACKWARD: _ANY,
        Op.CONVOLUTION_BACKWARD: _convolution_backward,
        Op.MAX_POOL2D_WITH_INDICES_BACKWARD: _MAX_POOL_BACKWARD,
        Op.AVG_POOL2D_BACKWARD: _POOL_BACKWARD,
        Op.ADAPTIVE_AVG_POOL2D_BACKWARD: _POOL_BACKWARD,
        Op.SOFTMAX_BACKWARD_DATA: _SCAN,
        Op.LOG_SOFTMAX_BACKWARD_DATA: _SCAN,
        Op.NLL_LOSS_BACKWARD: _nll_loss_backward,
        # each row of its result adds up the few rows of one category: not an aggregate over all
        Op.EMBEDDING_DENSE_BACKWARD: _NO_ROWS,
    }
)
