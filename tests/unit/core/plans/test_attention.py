"""Torch's own attention and encoder layers become plans that compute what torch does, or are refused."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.executors.gate import publish
from gridward.core.plans.executors.plain import run
from gridward.core.plans.ops import Op
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.trace import Traced, resize, trace_function, trace_module, trace_training
from tests.support.encoders import Attention, Encoder, causal, encoder_layer

PLACES, WIDTH = 5, 16
BANDED = (torch.arange(PLACES)[:, None] - torch.arange(PLACES)).abs() > 1


def x(rows: int = 3) -> Tensor:
    return torch.randn(rows, PLACES, WIDTH, generator=torch.Generator().manual_seed(2))


def held_to_torch(traced: Traced, module: nn.Module) -> None:
    publish(traced)
    for rows in (1, 2, 7):
        inputs = resize(traced.examples, traced.plan, rows)
        with torch.no_grad():
            torch.testing.assert_close(run(traced.plan, inputs)["output"], module(inputs["x"]))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_an_encoder_layer_is_that_of_torch(activation: str, norm_first: bool, batch_first: bool) -> None:
    layer = encoder_layer(WIDTH, 2, 32, activation=activation, norm_first=norm_first, batch_first=batch_first)
    held_to_torch(trace_module(layer, (x(),), name="layer"), layer)


MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "causal": {"mask": causal(PLACES), "is_causal": True},
    "causal, unsaid": {"mask": causal(PLACES)},
    "banded": {"mask": BANDED},
    "distances": {"mask": -(torch.arange(PLACES)[:, None] - torch.arange(PLACES)).abs().float()},
}


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_is_that_of_torch_with_any_constant_mask(mask: str, weights: bool) -> None:
    module = Attention(WIDTH, 2, need_weights=weights, **MASKS[mask])
    traced = trace_module(module, (x(),), name="attention")
    held_to_torch(traced, module)
    ops = {step.op for step in traced.plan.steps}
    assert Op.SOFTMAX in ops
    assert ops.isdisjoint({Op.EQ_SCALAR, Op.ANY_DIMS, Op.WHERE_SELF, Op.LOGICAL_NOT, Op.EXP})


def test_attention_to_other_rows_with_projections_of_their_own_is_that_of_torch() -> None:
    torch.manual_seed(3)
    module = nn.MultiheadAttention(WIDTH, 2, kdim=6, vdim=6, batch_first=True).eval()
    memory = torch.randn(4, 6)

    def attend(given: Tensor) -> Tensor:
        known = memory.expand(given.shape[0], 4, 6)
        made: Tensor = module(given, known, known, need_weights=False)[0]
        return made

    traced = trace_function(attend, {"x": x()}, name="attend")
    torch.testing.assert_close(run(traced.plan, {"x": x(4)})["output"], attend(x(4)).detach())


def test_one_projection_for_keys_and_values_is_that_of_torch() -> None:
    torch.manual_seed(3)
    module = nn.MultiheadAttention(WIDTH, 2, batch_first=True).eval()

    def attend(given: Tensor) -> Tensor:
        earlier = given[:, :2]
        made: Tensor = module(given, earlier, earlier)[0]
        return made

    traced = trace_function(attend, {"x": x()}, name="attend")
    torch.testing.assert_close(run(traced.plan, {"x": x(4)})["output"], attend(x(4)).detach())


def test_parts_of_a_tensor_are_those_of_torch() -> None:
    def gated(x: Tensor) -> Tensor:
        left, right = x.chunk(2, -1)
        first, _, last = left.split([1, 3, 1], 1)
        return torch.cat([right[:, :1] * first, last], 1)

    traced = trace_function(gated, {"x": x()}, name="gated")
    assert torch.equal(run(traced.plan, {"x": x(4)})["output"], gated(x(4)))


def test_an_encoder_of_two_layers_with_places_is_that_of_torch() -> None:
    module = Encoder(PLACES, WIDTH, 2, 32)
    held_to_torch(trace_module(module, (x(),), name="encoder"), module)
    masked = Encoder(PLACES, WIDTH, 2, 32, masked=True)
    held_to_torch(trace_module(masked, (x(),), name="masked"), masked)


def test_tracing_takes_the_same_path_where_torch_would_take_a_fast_one() -> None:
    layer = encoder_layer(WIDTH, 2, 32)
    before = torch.backends.mha.get_fastpath_enabled()
    with torch.no_grad():
        plan = trace_module(layer, (x(),), name="layer").plan
    assert plan == trace_module(layer, (x(),), name="layer").plan
    assert torch.backends.mha.get_fastpath_enabled() is before


def test_an_encoder_layer_is_trained_as_torch_trains_it() -> None:
    module = nn.Sequential(encoder_layer(8, 2, 16), nn.Flatten(), nn.Linear(8 * PLACES, 3))
    batch = torch.randn(6, PLACES, 8), torch.arange(6) % 3
    traced = trace_training(module, F.cross_entropy, SGD(0.1), batch, name="encoder")
    results = run(traced.plan, traced.parameters | traced.hyper | {"x": batch[0], "y": batch[1]})
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    F.cross_entropy(module(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for name, value in module.named_parameters():
        torch.testing.assert_close(results[name], value.detach())


def test_a_row_that_a_mask_leaves_nothing_of_is_nothing_as_in_torch() -> None:
    mask = torch.zeros(PLACES, PLACES)
    mask[2] = -torch.inf

    def attend(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    traced = trace_function(attend, {"x": x()}, name="attend")
    assert any(step.op is Op.WHERE_SELF for step in traced.plan.steps)
    made = run(traced.plan, {"x": x()})["output"]
    assert (made[:, 2] == 0).all()
    torch.testing.assert_close(made, attend(x()))


@pytest.mark.parametrize("scale", [None, 0.3])
def test_a_scale_and_a_causal_product_are_those_of_torch(scale: float | None) -> None:
    def attend(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x[:, :4], x[:, :4], is_causal=True, scale=scale)

    traced = trace_function(attend, {"x": x()}, name="attend")
    torch.testing.assert_close(run(traced.plan, {"x": x()})["output"], attend(x()))


def test_a_mask_that_torch_compares_by_value_is_refused_with_a_hint() -> None:
    encoder = nn.TransformerEncoder(encoder_layer(8, 2, 16), 1)

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.encoder(x, mask=causal(PLACES))
            return made

    with pytest.raises(PlanRejectedError, match="is_causal"):
        trace_module(Masked(), (torch.randn(2, PLACES, 8),), name="masked")


def test_grouped_heads_are_refused() -> None:
    def attend(x: Tensor) -> Tensor:
        heads = x.view(-1, PLACES, 4, 4).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads[:, :2], heads[:, :2], enable_gqa=True)

    with pytest.raises(PlanRejectedError, match="one key and value a head"):
        trace_function(attend, {"x": x()}, name="attend")
