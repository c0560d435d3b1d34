"""Optimizers of plans mean what torch's mean."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gridward.core.plans.optimizers import SGD, Adam, AdamW, Guided, Optimizer

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


RATES = st.floats(1e-4, 0.5)
DECAYS = st.sampled_from([0.0, 0.01, 0.3])
BETAS = st.floats(0.1, 0.99)


def adams(
    ours: type[Adam], theirs: type[torch.optim.Optimizer]
) -> st.SearchStrategy[tuple[Optimizer, type[torch.optim.Optimizer], dict[str, object]]]:
    return st.builds(
        lambda lr, one, two, decay: (
            ours(lr, one, two, 1e-7, decay),
            theirs,
            {"lr": lr, "betas": (one, two), "eps": 1e-7, "weight_decay": decay},
        ),
        RATES,
        BETAS,
        BETAS,
        DECAYS,
    )


SGDS = st.builds(
    lambda lr, momentum, nesterov, decay: (
        SGD(lr, momentum, nesterov and momentum > 0, decay),
        torch.optim.SGD,
        {"lr": lr, "momentum": momentum, "nesterov": nesterov and momentum > 0, "weight_decay": decay},
    ),
    RATES,
    st.sampled_from([0.0, 0.5, 0.9]),
    st.booleans(),
    DECAYS,
)


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_lead_where_torch_leads(name: str) -> None:
    compare(*CASES[name], seed=0)


@given(SGDS | adams(Adam, torch.optim.Adam) | adams(AdamW, torch.optim.AdamW), st.integers(0, 2**31))
def test_any_optimizer_leads_where_torch_leads(
    case: tuple[Optimizer, type[torch.optim.Optimizer], dict[str, object]], seed: int
) -> None:
    compare(*case, seed=seed)


def compare(
    ours: Optimizer, theirs: type[torch.optim.Optimizer], options: dict[str, object], *, seed: int
) -> None:
    """Take ten steps with both."""
    torch.manual_seed(seed)
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


@pytest.mark.parametrize("inner", [SGD(0.1), SGD(0.1, momentum=0.9), Adam(0.05), AdamW(0.05)])
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
