"""No rounding coin reaches the client: what is rounded behind the last products is rounded faithfully."""

from collections.abc import Callable

import pytest
import torch

from gridward.core.plans.trace import trace_function
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.gate import LookUp, Truncate

Function = Callable[[torch.Tensor], torch.Tensor]
SHOWN: dict[str, Function] = {
    "alone": lambda x: x * 0.3,
    "relu": lambda x: (x * 0.3).relu(),
    "look-up": lambda x: (x * 0.3).sigmoid(),
    "cat": lambda x: torch.cat([(x * 0.3).relu(), x], 1),
    "cat of look-ups": lambda x: torch.cat([(x * 0.3).sigmoid(), (x * 0.7).relu()], 1),
    "slice": lambda x: (x * 0.3).relu()[:, :2],
    "sum": lambda x: (x * 0.3).relu() + (x * 0.7).relu(),
    "expand": lambda x: (x * 0.3).relu().sum(1, keepdim=True).expand(-1, 3),
    "largest": lambda x: (x * 0.3).amax(1),
}


@pytest.mark.parametrize("name", SHOWN)
def test_no_coin_reaches_the_answer_on_any_way(name: str) -> None:
    plan = trace_function(SHOWN[name], {"x": torch.zeros(2, 4)}, name="f").plan
    gates = compile_plan(plan, batch=2, parties=2).gates
    assert not [gate for gate in gates if isinstance(gate, Truncate)]
    assert all(len(gate.sources) == 2 for gate in gates if isinstance(gate, LookUp))
