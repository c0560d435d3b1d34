"""Optimizers of plans mean what torch's mean."""

import pytest
import torch
from torch import Tensor

from gridward.core.plans.optimizers import SGD, Adam, Guided, Optimizer

CASES: dict[str, tuple[Optimizer, type[torch.optim.Optimizer], dict[str, object]]] = {
    "sgd": (SGD(0.1), torch.optim.SGD, {"lr": 0.1}),
    "momentum": (SGD(0.1, momentum=0.9), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "all of sgd": (
        SGD(0.05, momentum=0.8, nesterov=True, weight_decay=0.01),
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    ),
    "adam": (Adam(), torch.optim.Adam, {"lr": 1e-3}),
    "all of adam": (
        Adam(0.01, 0.8, 0.9, 1e-6, 0.1),
        torch.optim.Adam,
        {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_lead_where_torch_leads(name: str) -> None:
    ours, theirs, options = CASES[name]
    torch.manual_seed(0)
    start = torch.randn(4, 3, dtype=torch.float64)
    leaf = start.clone().requires_grad_()
    reference = theirs([leaf], **options)  # type: ignore[call-arg]
    parameters: dict[str, Tensor] = {"w": start}
    state = ours.initial_state(parameters)
    for at in range(10):
        gradient = torch.randn(4, 3, dtype=torch.float64) * (at + 1)
        leaf.grad = gradient
        reference.step()
        parameters, state = ours.step(parameters, {"w": gradient}, state, ours.hyper())
    torch.testing.assert_close(parameters["w"], leaf.detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "options",
    [{"lr": -1}, {"lr": 1, "momentum": -1}, {"lr": 1, "nesterov": True}, {"lr": 1, "weight_decay": -1}],
)
def test_sgd_refuses_what_torch_refuses(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"negative|momentum"):
        SGD(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"lr": -1}, {"eps": -1}, {"weight_decay": -1}, {"beta1": 1}, {"beta2": -1}]
)
def test_adam_refuses_what_torch_refuses(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"negative|betas"):
        Adam(**options)


@pytest.mark.parametrize("inner", [SGD(0.1), SGD(0.1, momentum=0.9), Adam(0.05)])
def test_a_guided_step_is_the_others_on_the_gradient_with_both_additions(inner: Optimizer) -> None:
    torch.manual_seed(0)
    start, control = torch.randn(3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    guided = Guided(inner, proximal=0.3, controlled=True)
    ours: dict[str, Tensor] = {"w": start}
    theirs: dict[str, Tensor] = {"w": start}
    state, plain = guided.initial_state(ours) | {"control.w": control}, inner.initial_state(theirs)
    for _ in range(5):
        gradient = torch.randn(3, dtype=torch.float64)
        added = {"w": gradient + 0.3 * (theirs["w"] - start) + control}
        theirs, plain = inner.step(theirs, added, plain, inner.hyper())
        ours, moved = guided.step(ours, {"w": gradient}, state, guided.hyper())
        state |= moved
        assert torch.equal(ours["w"], theirs["w"])
    assert torch.equal(state["anchor.w"], start)
