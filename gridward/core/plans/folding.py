"""Shortens a traced graph by what is known while tracing: constants, and that no mask hides a whole row."""

from typing import Final

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.ops import Op
from gridward.core.plans.rewrites import ALIASES, IDENTITIES

LARGEST: Final = 1 << 16
"""What has more elements stays a computation: a plan carries its constants."""

_COPY: Final = "aten.copy_.default"
_KNOWN: Final = frozenset(op.value for op in Op) | ALIASES.keys() | IDENTITIES | {_COPY}


def fold(graph: fx.GraphModule) -> None:
    """Compute what depends on no input and draws nothing; make what reads it read a constant.

    A tensor that is made of nothing stays a step: it is shorter than its contents. Then attention's question
    whether a row is masked altogether goes, where a constant mask answers it.
    """
    known: dict[fx.Node, Tensor] = {}
    changed: set[fx.Node] = set()
    for node in list(graph.graph.nodes):
        value = _computed(node, known)
        if value is not None:
            known[node] = value
            if str(node.target) == _COPY:
                changed.add(node.all_input_nodes[0])
            continue
        for source in node.all_input_nodes:
            derived = source in known and source.op == "call_function" and bool(source.all_input_nodes)
            if derived or source in changed:
                node.replace_input_with(source, _constant(graph, node, known[source]))
    for node in graph.graph.nodes:
        if (plain := _plain_softmax(node)) is not None:
            node.replace_all_uses_with(plain)
    for node in reversed(known):
        if not node.users:  # a copy is no dead code to torch
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()


def _computed(node: fx.Node, known: dict[fx.Node, Tensor]) -> Tensor | None:
    if node.op == "get_attr":
        held = _held(node)
        return held.detach().clone() if type(held) in (Tensor, torch.nn.Parameter) else None
    made = node.meta.get("val")
    if (
        not isinstance(node.target, torch._ops.OpOverload)
        or str(node.target) not in _KNOWN
        or not isinstance(made, Tensor)
        or made.dtype not in NAMES
        or not all(source in known for source in node.all_input_nodes)
        or made.numel() > LARGEST
    ):
        return None
    if str(node.target) == _COPY and node.all_input_nodes[0].op == "get_attr":
        return None  # it changes a tensor that the function holds
    with torch.no_grad():
        result: Tensor = node.target(*map_arg(node.args, known.get), **map_arg(node.kwargs, known.get))
    return result


def _constant(graph: fx.GraphModule, reader: fx.Node, value: Tensor) -> fx.Node:
    free = next(name for at in range(len(graph.graph.nodes)) if not hasattr(graph, name := f"_folded{at}"))
    graph.register_buffer(free, value.clone())
    with graph.graph.inserting_before(reader):
        made = graph.graph.get_attr(free)
    made.meta["val"] = value
    return made


def _plain_softmax(node: fx.Node) -> fx.Node | None:
    """Give s in ``where(not any(not (x == -inf), -1), 0, s)``, if a constant in the sum x leaves all rows."""
    if str(node.target) != Op.WHERE_SELF or str(node.all_input_nodes[-1].target) != Op.SOFTMAX:
        return None
    at = node.all_input_nodes[0]
    for target in ("aten.logical_not.default", "aten.any.dim", "aten.logical_not.default", "aten.eq.Scalar"):
        if str(at.target) != target or (target == "aten.any.dim" and at.args[1] != -1):
            return None
        asked, at = at, at.all_input_nodes[0]
    terms = at.all_input_nodes if str(at.target) == Op.ADD_TENSOR else []
    masks = [_held(term) for term in terms if term.op == "get_attr"]
    leaves = masks and all(bool((mask > -torch.inf).any(-1).all()) for mask in masks)
    return node.all_input_nodes[-1] if leaves and asked.args[1] == -torch.inf else None


def _held(node: fx.Node) -> Tensor:
    held: Tensor = getattr(node.graph.owning_module, str(node.target))
    return held
