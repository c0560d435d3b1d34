"""What tracing takes from torch's private corners is there and does what it did."""

import torch
from torch import Tensor

from gridward.core.plans.ops import Op
from gridward.core.plans.torch_private import HINT, fx_graph, symbolic


def step(weight: Tensor, x: Tensor) -> list[Tensor]:
    def loss(weight: Tensor) -> Tensor:
        return torch.relu(x @ weight).sum()

    return [weight - torch.func.grad(loss)(weight)]


def test_gradients_are_traced_to_ops_of_the_table_with_one_symbol_for_the_batch() -> None:
    graph, symbol = fx_graph(step, [torch.randn(3, 2), torch.randn(HINT, 3)], [False, True])
    calls = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert Op.THRESHOLD_BACKWARD in calls
    assert Op.MM in calls
    assert not any(name.endswith("_.default") for name in calls)
    sizes = [node.meta["val"].shape for node in graph.graph.nodes if node.op == "placeholder"]
    assert symbolic(sizes[1][0]) == symbol is not None
    assert symbolic(sizes[1][0] * 3) == (3, symbol)
    assert symbolic(sizes[1][0] + 1) is None
    assert symbolic(sizes[0][0]) == 3


def test_a_batch_that_the_function_fixes_has_no_symbol() -> None:
    _, symbol = fx_graph(lambda x: [x.reshape(HINT, 2)], [torch.randn(HINT, 2)], [True])
    assert symbol is None


def test_ops_of_the_table_do_not_decompose() -> None:
    def forward(x: Tensor) -> list[Tensor]:
        return [torch.nn.functional.gelu(x.log_softmax(1)), torch.rsub(x, 1.0)]

    graph, _ = fx_graph(forward, [torch.randn(HINT, 3)], [True])
    calls = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert calls == {Op.GELU, Op.LOG_SOFTMAX, Op.RSUB_SCALAR}
