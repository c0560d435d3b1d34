"""From torch's traced graph to the steps of a plan, by one closed table of rewrites; others are refused."""

import math
import operator
from collections.abc import Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor, fx

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.ops import ArgKind, Op, Param
from gridward.core.plans.plan import Argument, Constant, Dim, DType, Ref, Size, Step
from gridward.core.plans.rewrites import ALIASES, HINTS, IDENTITIES, Named
from gridward.core.plans.table import SPECS
from gridward.core.plans.torch_private import symbolic
from gridward.core.plans.validate import listing

#: A number where the table has a tensor: the overload that takes the number.
SCALAR_FORM: Final[Mapping[Op, Op]] = MappingProxyType(
    {
        Op.ADD_TENSOR: Op.ADD_SCALAR,
        Op.SUB_TENSOR: Op.SUB_SCALAR,
        Op.MUL_TENSOR: Op.MUL_SCALAR,
        Op.DIV_TENSOR: Op.DIV_SCALAR,
        Op.DIV_TENSOR_MODE: Op.DIV_SCALAR_MODE,
        Op.REMAINDER_TENSOR: Op.REMAINDER_SCALAR,
        Op.EQ_TENSOR: Op.EQ_SCALAR,
        Op.NE_TENSOR: Op.NE_SCALAR,
        Op.LT_TENSOR: Op.LT_SCALAR,
        Op.LE_TENSOR: Op.LE_SCALAR,
        Op.GT_TENSOR: Op.GT_SCALAR,
        Op.GE_TENSOR: Op.GE_SCALAR,
    }
)
TENSOR_FORM: Final[Mapping[Op, Op]] = MappingProxyType({value: key for key, value in SCALAR_FORM.items()})
MIRROR: Final[Mapping[Op, Op]] = MappingProxyType(
    {Op.ADD_TENSOR: Op.ADD_SCALAR, Op.MUL_TENSOR: Op.MUL_SCALAR, Op.SUB_TENSOR: Op.RSUB_SCALAR}
)
SPLIT: Final = "aten.split_with_sizes.default"
LAST: Final = 2**53 - 1


def lower(graph: fx.GraphModule, inputs: list[str], symbol: str | None) -> "Lowered":
    """Turn a traced graph into steps, constants and the names of its outputs.

    Args:
        graph: what ``torch_private.fx_graph`` gave; its output is a list of tensors.
        inputs: names for the placeholders, in order.
        symbol: the name of the batch symbol, which becomes ``Dim("B")``.

    Raises:
        PlanRejectedError: names every op that the table does not have, all at once.
    """
    lowering = Lowered(graph, symbol)
    names = iter(inputs)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            lowering.names[node] = next(names)
        elif node.op == "get_attr":
            lowering.constant(node)
        elif node.op == "call_function":
            lowering.call(node)
        else:
            lowering.outputs = [lowering.names.get(value, "") for value in node.args[0]]
    if lowering.refused:
        raise PlanRejectedError(
            "the function uses what plans do not have: " + listing(list(dict.fromkeys(lowering.refused)))
        )
    return lowering


class Lowered:
    """Steps, constants and names of outputs, as they are found along the graph."""

    def __init__(self, graph: fx.GraphModule, symbol: str | None) -> None:
        self.graph = graph
        self.symbol = symbol
        self.names: dict[fx.Node, str] = {}
        self.results: dict[fx.Node, tuple[str, ...]] = {}
        self.steps: list[Step] = []
        self.constants: list[Constant] = []
        self.outputs: list[str] = []
        self.refused: list[str] = []
        self.unknown: set[fx.Node] = set()

    def constant(self, node: fx.Node) -> None:
        """Take a tensor that the function holds into the plan."""
        value = getattr(self.graph, str(node.target))
        if type(value) not in (Tensor, torch.nn.Parameter) or value.dtype not in NAMES:
            self._refuse(node, f"a tensor of {getattr(value, 'dtype', type(value).__name__)} made inside")
            return
        name = f"c{len(self.constants)} "
        contents = value.detach().contiguous().cpu().numpy()
        self.constants.append(Constant(name, NAMES[value.dtype], tuple(value.shape), contents.tobytes()))
        self.names[node] = name

    def call(self, node: fx.Node) -> None:
        """Lower one call; what cannot be is remembered, and its readers are not blamed."""
        if any(source in self.unknown for source in node.all_input_nodes):
            self.unknown.add(node)
        elif node.target is operator.getitem:
            source, place = node.args
            if isinstance(source, fx.Node) and isinstance(place, int):
                self.names[node] = self.results[source][place]
        elif isinstance(node.meta.get("val"), int | float | bool | torch.SymInt | torch.SymFloat):
            return
        else:
            self._lower(node, str(node.target))

    def _refuse(self, node: fx.Node, what: str) -> None:
        self.refused.append(what)
        self.unknown.add(node)

    def _lower(self, node: fx.Node, target: str) -> None:
        named = _named_arguments(node)
        try:
            if target in IDENTITIES or _keeps_dtype(target, node, named):
                self.names[node] = self.names[node.all_input_nodes[0]]
                return
            if target == SPLIT:
                self._split(node, named)
                return
            op = ALIASES[target](named, node) if target in ALIASES else Op(target)
            op = self._numbers_and_tensors(op, named, node)
            args = tuple(self._argument(param, named[param.name], op, node) for param in SPECS[op].params)
        except ValueError as why:
            known = target in ALIASES or target in (*Op, SPLIT)
            self._refuse(node, f"{target}: {why}" if known else HINTS.get(target, target))
            return
        self._emit(node, op, args)

    def _split(self, node: fx.Node, named: Named) -> None:
        source = Ref(self.names[named["self"]])
        sizes, dim = _concrete(named["split_sizes"]), named["dim"] % _rank(node)
        parts = [
            self._made(Op.SLICE_TENSOR, source, dim, end - size, end, 1)
            for size, end in zip(sizes, accumulate(sizes), strict=True)
        ]
        self.results[node] = tuple(part.name for part in parts)

    def _emit(self, node: fx.Node, op: Op, args: tuple[Argument, ...]) -> None:
        out = tuple(f"v{len(self.steps)}.{place} " for place in range(SPECS[op].results))
        self.steps.append(Step(op, args, out))
        self.results[node] = out
        self.names[node] = out[0]

    def _numbers_and_tensors(self, op: Op, named: Named, node: fx.Node) -> Op:
        """Choose between the tensor and the number overload of an arithmetic op by what stands there."""
        if op in SCALAR_FORM and not _is_tensor(named["other"]) and not _is_symbolic(named["other"]):
            return SCALAR_FORM[op]
        if op in MIRROR and not _is_tensor(named["self"]) and named.get("alpha", 1) == 1:
            named["self"], named["other"] = named["other"], named["self"]
            return MIRROR[op]
        if op in TENSOR_FORM and _is_symbolic(named["other"]):
            return TENSOR_FORM[op]
        return op

    def _argument(self, param: Param, value: Any, op: Op, node: fx.Node) -> Argument:  # noqa: ANN401 - fx
        if value is None and param.optional:
            return None
        match param.kind:
            case ArgKind.TENSOR:
                return self._tensor(value, node)
            case ArgKind.TENSORS | ArgKind.INDICES:
                return tuple(None if item is None else self._tensor(item, node) for item in value)
            case ArgKind.SIZES:
                return self._sizes(value, op)
            case ArgKind.INTS:
                return _clean_ints(param, _concrete(value), node)
            case ArgKind.INT:
                return _clean_int(param, _concrete([value])[0], op, node)
            case ArgKind.DTYPE:
                return _dtype(value)
            case ArgKind.NUM:
                return _number(value)
            case _:
                return tuple(value) if isinstance(value, list | tuple) else value

    def _tensor(self, value: Any, node: fx.Node) -> Ref:  # noqa: ANN401 - fx
        if _is_tensor(value):
            return Ref(self.names[value])
        if _is_symbolic(value):
            return self._as_number(self._measure(value), value, node)
        dtype = next(source.meta["val"].dtype for source in node.all_input_nodes if _is_tensor(source))
        return self._made(Op.FULL, (), _number(value), _dtype(dtype))

    def _as_number(self, made: Ref, value: fx.Node, node: fx.Node) -> Ref:
        """Let a value stand for a Python number, which never widens the type of what it meets."""
        dtype = _dtype(node.meta["val"].dtype)
        if not isinstance(value.meta["val"], torch.SymFloat) or dtype is DType.FLOAT64:
            return made
        return self._made(Op.TO_COPY, made, dtype)

    def _measure(self, value: Any) -> Ref:  # noqa: ANN401 - fx
        """Make a number that depends on the batch size a value: products and quotients of its multiples."""
        if isinstance(value, int | float):
            return self._made(Op.FULL, (), float(value), DType.FLOAT64)
        size = symbolic(value.meta["val"])
        factor, symbol = size if isinstance(size, tuple) else (1, size)
        if symbol == self.symbol is not None:
            return self._count(factor)
        if value.target is torch.sym_float:
            return self._measure(value.args[0])
        if value.target in (operator.mul, operator.truediv):
            op = Op.MUL_TENSOR if value.target is operator.mul else Op.DIV_TENSOR
            return self._made(op, *(self._measure(part) for part in value.args))
        raise ValueError("computes with the batch size in a way that is neither a product nor a quotient")

    def _count(self, factor: int) -> Ref:
        """Count the rows: the sum of as many ones, times the factor."""
        ones = self._made(Op.FULL, (Dim("B"),), 1, DType.INT64)
        rows = self._made(Op.SUM_DIM_INTLIST, ones, None, False, None)
        return rows if factor == 1 else self._made(Op.MUL_SCALAR, rows, factor)

    def _made(self, op: Op, *args: Argument) -> Ref:
        name = f"v{len(self.steps)}.0 "
        self.steps.append(Step(op, args, (name,)))
        return Ref(name)

    def _sizes(self, value: Any, op: Op) -> tuple[Size, ...]:  # noqa: ANN401 - fx
        sizes: list[Size] = []
        for item in value:
            size = symbolic(item.meta["val"] if isinstance(item, fx.Node) else item)
            if isinstance(size, int):
                sizes.append(size)
            elif size == self.symbol and self.symbol is not None:
                sizes.append(Dim("B"))
            elif op is Op.VIEW and -1 not in sizes:
                sizes.append(-1)
            else:
                raise ValueError("makes a size that is no multiple of the batch, or two of them")
        return tuple(sizes)


def _named_arguments(node: fx.Node) -> Named:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return {}
    named: Named = {}
    for place, argument in enumerate(target._schema.arguments):
        if place < len(node.args):
            named[argument.name] = node.args[place]
        else:
            default = argument.default_value if argument.has_default_value() else None
            named[argument.name] = node.kwargs.get(argument.name, default)
    return named


def _keeps_dtype(target: str, node: fx.Node, named: Named) -> bool:
    if target != Op.TO_COPY:
        return False
    dtype = named["dtype"]
    return dtype is None or dtype == named["self"].meta["val"].dtype


def _is_tensor(value: object) -> bool:
    return isinstance(value, fx.Node) and isinstance(value.meta.get("val"), Tensor | tuple | list)


def _is_symbolic(value: object) -> bool:
    return isinstance(value, fx.Node) and not _is_tensor(value)


def _concrete(values: Any) -> tuple[int, ...]:  # noqa: ANN401 - fx
    if isinstance(values, int):
        values = [values]
    sizes = [symbolic(value.meta["val"] if isinstance(value, fx.Node) else value) for value in values]
    if not all(isinstance(size, int) for size in sizes):
        raise ValueError("a number depends on the batch size")
    return tuple(size for size in sizes if isinstance(size, int))


def _clean_ints(param: Param, values: tuple[int, ...], node: fx.Node) -> tuple[int, ...] | None:
    if param.optional and not values:
        return None
    if param.name in ("dim", "dims"):
        rank = _rank(node)
        return tuple(value % rank if rank else value for value in values)
    return values


def _clean_int(param: Param, value: int, op: Op, node: fx.Node) -> int | None:
    if param.name == "dim" and value < 0:
        return value + _rank(node) + (op is Op.UNSQUEEZE)
    if param.name == "end" and value > LAST:
        return None
    return value


def _rank(node: fx.Node) -> int:
    value = node.all_input_nodes[0].meta["val"]
    return value.ndim if isinstance(value, Tensor) else 0


def _dtype(value: Any) -> DType:  # noqa: ANN401 - fx
    if value not in NAMES:
        raise ValueError(f"{value} does not travel; use float32, float64, int32, int64, uint8 or bool")
    return NAMES[value]


def _number(value: Any) -> float | int | bool:  # noqa: ANN401 - fx
    if isinstance(value, fx.Node):
        raise ValueError("a number depends on the batch size")
    if isinstance(value, float):
        return math.nan if math.isnan(value) else value + 0.0
    if not isinstance(value, int):
        raise ValueError(f"{type(value).__name__} is not a number")
    return value
