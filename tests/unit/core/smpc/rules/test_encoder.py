"""Attention and encoder layers of torch's own modules, whole."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gridward.core.errors import PlanRejectedError, RangeViolationError
from gridward.core.plans.trace import trace_module
from gridward.core.smpc.compile import compile_plan
from tests.support.curves import END
from tests.support.encoders import Attention, Encoder, causal, encoder_layer
from tests.support.encrypted import drawn, run_module
from tests.support.parties import ask, deployed


@pytest.mark.parametrize(("parties", "levels", "batch"), [(2, 2, 2), (3, 1, 1)])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_layer_is_that_of_torch(
    activation: str, norm_first: bool, parties: int, levels: int, batch: int
) -> None:
    # ten thousandths after two norms, whose results have a deviation of 1
    layer = encoder_layer(16, 2, 32, activation=activation, norm_first=norm_first)
    run_module(layer, drawn(batch, 6, 16), 32, parties=parties, levels=levels)


def test_an_encoder_layer_may_come_before_a_head() -> None:
    head = nn.Flatten(), nn.Linear(40, 3), nn.Softmax(1)
    run_module(nn.Sequential(encoder_layer(8, 2, 16), *head), drawn(3, 5, 8), 24)


def test_an_encoder_layer_may_take_the_places_first() -> None:
    run_module(encoder_layer(8, 2, 16, batch_first=False), drawn(5, 3, 8), 32)


@pytest.mark.parametrize("masked", [False, True])
def test_an_encoder_of_two_layers_with_places_is_that_of_torch(masked: bool) -> None:
    run_module(Encoder(5, 8, 2, 16, masked), drawn(2, 5, 8), 64)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize(
    "mask",
    [
        None,
        causal(6),
        (torch.arange(6)[:, None] - torch.arange(6)).abs() > 1,
        -(torch.arange(6)[:, None] - torch.arange(6)).abs().double(),
    ],
    ids=["none", "causal", "banded", "distances"],
)
def test_attention_with_a_constant_mask_is_that_of_torch(mask: Tensor | None, weights: bool) -> None:
    run_module(Attention(16, 2, mask, need_weights=weights), drawn(2, 6, 16), 16)


def faults(module: nn.Module, x: Tensor, **numbers: Any) -> str:
    with pytest.raises(PlanRejectedError) as refused:
        compile_plan(trace_module(module.eval(), (x,), name="m").plan, batch=2, parties=2, **numbers)
    return refused.value.detail


def test_all_that_has_no_encrypted_meaning_is_listed_at_once_by_its_lines() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = encoder_layer(8, 2, 16)

        def forward(self, x: Tensor) -> Tensor:
            rounded: Tensor = self.layer(x.round())
            return rounded.cumsum(1).floor()

    traced = trace_module(Odd(), (torch.randn(2, 5, 8),), name="odd")
    lines = {step.op.value: number for number, step in enumerate(traced.plan.steps)}
    why = faults(Odd(), torch.randn(2, 5, 8))
    named = ("aten.round.default", "aten.cumsum.default", "aten.floor.default")
    for op in named:
        assert f"step {lines[op]} {op}: has no encrypted gate" in why
    assert why.count("step ") == len(named)


def test_a_mask_that_is_a_parameter_is_refused_by_name() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = encoder_layer(8, 2, 16)
            self.register_buffer("mask", causal(5))

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.layer(x, src_mask=self.mask)
            return made

    assert "aten.where.self: has no encrypted gate" in faults(Masked(), torch.randn(2, 5, 8))


def test_places_that_are_cut_from_a_longer_parameter_are_refused_by_name() -> None:
    encoder = Encoder(9, 8, 2, 16)
    assert "parameter 'places' is sliced" in faults(encoder, torch.randn(2, 5, 8))


@pytest.mark.parametrize("spread", [50.0, 75.0])
def test_masked_scores_may_take_the_whole_range(spread: float) -> None:
    module, x = Attention(8, 1, causal(5), need_weights=True), drawn(2, 5, 8, spread=spread)
    assert END / 4 < scores(module, x) < END
    run_module(module, x, 64 * spread, guard=True)


def test_masked_scores_beyond_the_range_are_named_at_the_query() -> None:
    module, x = Attention(8, 1, causal(5), need_weights=True), drawn(2, 5, 8, spread=150.0)
    assert scores(module, x) > 2 * END
    traced = trace_module(module, (x.float(),), name="m")
    program = compile_plan(traced.plan, batch=2, parties=2, guard=True)
    values = {name: value.double().numpy() for name, value in traced.parameters.items()}
    with pytest.raises(RangeViolationError, match=r"softmax"):
        ask(deployed(program, values), x.numpy())


def scores(module: Attention, x: Tensor) -> float:
    """Give the largest difference of two scores in a row, of one head."""
    held = module.attention
    with torch.no_grad():
        q, k, _ = nn.functional.linear(x.float(), held.in_proj_weight, held.in_proj_bias).chunk(3, -1)
        found = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    return float((found.amax(-1) - found.amin(-1)).max())


def test_a_mask_takes_no_more_range_than_scores_do() -> None:
    run_module(Attention(8, 2, causal(5), need_weights=True), drawn(2, 5, 8), 64, width=22)
