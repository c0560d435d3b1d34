"""Steps of training plans lead where torch's autograd and optimizers lead, and pass the privacy analysis."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gridward.core.errors import InvalidInputError, PlanRejectedError
from gridward.core.plans import codec
from gridward.core.plans.drawn import Drawing
from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.executors.batches import draw, fewest_rows, undrawn
from gridward.core.plans.executors.gate import admit
from gridward.core.plans.executors.plain import bind, run
from gridward.core.plans.executors.shapes import propagate
from gridward.core.plans.executors.training import Schedule, run_epochs
from gridward.core.plans.optimizers import SGD, Adam, AdamW, Optimizer
from gridward.core.plans.plan import Plan, Role
from gridward.core.plans.spelled import Spelled
from gridward.core.plans.trace import Traced, trace_evaluation, trace_training
from gridward.core.privacy.analysis import Feed, Level, analyse
from gridward.core.schemas.plan import PlanDocument

Loss = Callable[[Tensor, Tensor], Tensor]
ROWS = 6
LABELS = torch.arange(ROWS) % 3


class Masks(TorchFunctionMode):
    """Dropout by its definition, with given numbers: what a rate exceeds is 0, the rest is scaled up."""

    def __init__(self, numbers: Sequence[Tensor]) -> None:
        super().__init__()
        self._numbers: Iterator[Tensor] = iter(numbers)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in (F.dropout, F.dropout2d):
            rate = given["p"]
            kept = next(self._numbers) >= rate if rate else torch.tensor(True)
            return torch.where(kept, args[0] / (1 - rate), torch.zeros_like(args[0]))
        return func(*args, **given)


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.3)),
        *(nn.Flatten(), nn.Linear(100, 10), nn.BatchNorm1d(10), nn.Dropout(0.5), nn.Linear(10, 3)),
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.deep, self.two = nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.short, self.out = nn.Conv2d(4, 8, 1, stride=2), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.one(self.stem(x)))
        x = torch.relu(self.short(x) + self.two(self.deep(x)))
        return self.out(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Attending(nn.Module):
    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout, activation="gelu", batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.block(x).mean(1))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(11, 6, padding_idx=0), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.table(x).mean(1))


def series() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv1d(3, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2)),
        *(nn.Conv1d(4, 4, 3), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)),
    )


def image_layers() -> nn.Module:
    pools = (nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), *pools)


def activations() -> nn.Module:
    kinds = (nn.SiLU, nn.ELU, nn.SELU, nn.Mish, nn.Hardswish, nn.ReLU6, nn.Softplus, nn.PReLU, nn.Hardsigmoid)
    return nn.Sequential(nn.Linear(8, 5), *(kind() for kind in kinds), nn.LayerNorm(5), nn.Linear(5, 3))


def images() -> Tensor:
    return torch.randn(ROWS, 1, 12, 12)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], Optimizer, Any]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3)),
        lambda: torch.randn(ROWS, 8),
        AdamW(0.01),
        lambda p: torch.optim.AdamW(p, 0.01),
    ),
    "lenet with batch norm and dropout": (
        lenet,
        images,
        SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, 0.05, 0.9, nesterov=True, weight_decay=0.01),
    ),
    "residual": (Residual, images, Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "words": (
        Words,
        lambda: torch.randint(0, 11, (ROWS, 7)),
        SGD(0.1),
        lambda p: torch.optim.SGD(p, 0.1),
    ),
    "series": (series, lambda: torch.randn(ROWS, 3, 16), SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "image layers": (image_layers, images, SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "activations": (
        activations,
        lambda: 3 * torch.randn(ROWS, 8),
        SGD(0.1),
        lambda p: torch.optim.SGD(p, 0.1),
    ),
    "attention": (
        lambda: Attending(0.0),
        lambda: torch.randn(ROWS, 5, 8),
        SGD(0.1),
        lambda p: torch.optim.SGD(p, 0.1),
    ),
}


def seeded(made: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return made().train()


def traced_step(
    made: Callable[[], nn.Module], loss: Loss, x: Tensor, y: Tensor, optimizer: Optimizer
) -> Traced:
    traced = trace_training(seeded(made), loss, optimizer, (x[:4], y[:4]), name="step")
    admit(traced.plan)
    again = PlanDocument.model_validate(codec.to_dict(traced.plan))
    assert codec.from_dict(again.model_dump(mode="json", by_alias=True, exclude_none=True)) == traced.plan
    return traced


def refusals(plan: Plan, values: Mapping[str, Tensor], *, random: Level = Level.ROWS) -> tuple[str, ...]:
    fed = {given.name: given.role for given in plan.inputs}
    feeds = {name: Feed(Level.ROWS, "t") for name, role in fed.items() if role in (Role.DATA, Role.TARGET)}
    feeds |= {name: Feed(random, "t") for name, role in fed.items() if role is Role.RANDOM}
    known = propagate(plan, bind(plan, values)).values
    shapes = {name: tuple(value.shape) for name, value in known.items() if value is not None}
    dtypes = {name: NAMES[value.dtype] for name, value in known.items() if value is not None}
    return analyse(plan, feeds, shapes, dtypes, counted=False).refusals


def compare(
    traced: Traced,
    reference: nn.Module,
    loss: Loss,
    batch: tuple[Tensor, Tensor],
    theirs: torch.optim.Optimizer,
    masked: Callable[[Sequence[Tensor]], TorchFunctionMode] = Masks,
) -> None:
    """Take five steps with both, the same masks included; parameters and running statistics stay the same."""
    plan, held, generator = traced.plan, dict(traced.parameters), torch.Generator().manual_seed(3)
    fed = {**traced.hyper, "x": batch[0], "y": batch[1]}
    assert refusals(plan, {**held, **fed, **undrawn(plan, ROWS)}) == ()
    for _ in range(5):
        numbers = draw(plan, ROWS, generator)
        results = run(plan, {**held, **fed, **numbers})
        held |= {name: value for name, value in results.items() if name in held}
        theirs.zero_grad()
        with masked(list(numbers.values())):
            value = loss(reference(batch[0]), batch[1])
        value.backward()  # type: ignore[no-untyped-call]
        theirs.step()
        torch.testing.assert_close(results["loss"], value.detach(), rtol=1e-5, atol=1e-5)
    for name, expected in reference.state_dict().items():
        torch.testing.assert_close(held[name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_five_steps_of_a_model_lead_where_torch_leads(name: str) -> None:
    made, data, ours, theirs = MODELS[name]
    torch.manual_seed(1)
    x = data()
    traced = traced_step(made, F.cross_entropy, x, LABELS, ours)
    reference = seeded(made)
    compare(traced, reference, F.cross_entropy, (x, LABELS), theirs(reference.parameters()))


def test_dropout_in_attention_leads_where_torch_leads_with_the_same_masks() -> None:
    torch.manual_seed(1)
    x = torch.randn(ROWS, 5, 8)
    traced = traced_step(Attending, F.cross_entropy, x, LABELS, SGD(0.1))
    noted, reference = Drawing(), seeded(Attending)
    with torch.no_grad(), noted:
        reference(torch.randn(13, 5, 8))
    assert [one.shape for one in noted.draws] == [(2, 5, 5), (5, 8), (5, 16), (5, 8)]
    compare(
        traced,
        reference,
        F.cross_entropy,
        (x, LABELS),
        torch.optim.SGD(reference.parameters(), 0.1),
        lambda numbers: Drawing(list(zip(noted.draws, numbers, strict=True))),
    )


REAL: dict[str, Loss] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth l1": lambda o, y: F.smooth_l1_loss(o, y, beta=0.5),
    "huber": lambda o, y: F.huber_loss(o, y, delta=0.5),
    "huber of a sum": lambda o, y: F.huber_loss(o, y, reduction="sum"),
    "gaussian": lambda o, y: F.gaussian_nll_loss(o, y, torch.ones_like(y), full=True),
    "gaussian with a learnt variance": lambda o, y: F.gaussian_nll_loss(o[:, :1], y[:, :1], o[:, 1:2].exp()),
    "soft margin": lambda o, y: F.soft_margin_loss(o, y.sign()),
    "hinge": lambda o, y: F.hinge_embedding_loss(o, y.sign()),
}
WEIGHT = torch.tensor([1.0, 2.0, 0.5])
CLASSES: dict[str, Loss] = {
    "smoothed": lambda o, y: F.cross_entropy(o, y, label_smoothing=0.1),
    "weighted": lambda o, y: F.cross_entropy(o, y, weight=WEIGHT),
    "both": lambda o, y: F.cross_entropy(o, y, weight=WEIGHT, label_smoothing=0.1),
    "a sum": lambda o, y: F.cross_entropy(o, y, reduction="sum"),
    "with one left out": lambda o, y: F.cross_entropy(o, y, ignore_index=0),
    "nll": lambda o, y: F.nll_loss(o.log_softmax(1), y),
}
CHANCES: dict[str, Loss] = {
    "cross entropy": F.cross_entropy,
    "bce": lambda o, y: F.binary_cross_entropy(o.sigmoid(), y, weight=WEIGHT),
    "bce with logits": lambda o, y: F.binary_cross_entropy_with_logits(o, y, pos_weight=WEIGHT),
    "kl": lambda o, y: F.kl_div(o.log_softmax(1), y, reduction="batchmean"),
    "kl of logarithms": lambda o, y: F.kl_div(o.log_softmax(1), y.log(), reduction="sum", log_target=True),
    "poisson": F.poisson_nll_loss,
    "poisson in full": lambda o, y: F.poisson_nll_loss(o.exp(), 9 * y, log_input=False, full=True),
}
TARGETS: dict[str, tuple[dict[str, Loss], Callable[[], Tensor]]] = {
    "numbers": (REAL, lambda: torch.randn(ROWS, 3)),
    "classes": (CLASSES, lambda: LABELS),
    "chances": (CHANCES, lambda: torch.rand(ROWS, 3).softmax(1)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_losses_of_torch_lead_where_torch_leads(name: str) -> None:
    losses, targets = TARGETS[name]

    def every(output: Tensor, y: Tensor) -> Tensor:
        return torch.stack([loss(output, y) for loss in losses.values()]).sum()

    torch.manual_seed(1)
    x, y = torch.randn(ROWS, 8), targets()
    made = lambda: nn.Linear(8, 3)  # noqa: E731
    traced = traced_step(made, every, x, y, SGD(0.01))
    reference = seeded(made)
    compare(traced, reference, every, (x, y), torch.optim.SGD(reference.parameters(), 0.01))
    judged = trace_evaluation(
        reference, every, (x, y), name="exam", metrics={key.replace(" ", "_"): f for key, f in losses.items()}
    )
    with torch.no_grad():
        told = run(judged.plan, {**judged.parameters, "x": x, "y": y})
        for key, loss in losses.items():
            wanted = loss(reference(x), y)
            torch.testing.assert_close(told[key.replace(" ", "_")] / ROWS, wanted, rtol=1e-5, atol=1e-5)


def test_classes_of_pixels_are_learnt() -> None:
    x, y = torch.randn(ROWS, 1, 5, 5), torch.randint(0, 3, (ROWS, 5, 5))
    made = lambda: nn.Conv2d(1, 3, 3, padding=1)  # noqa: E731
    traced = traced_step(made, F.cross_entropy, x, y, SGD(0.1))
    reference = seeded(made)
    compare(traced, reference, F.cross_entropy, (x, y), torch.optim.SGD(reference.parameters(), 0.1))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_of_single_pixels_keep_their_places(smoothing: float) -> None:
    x, y = torch.randn(ROWS, 3, 5, 4), torch.randint(0, 3, (ROWS, 5, 4))
    with Spelled():
        ours = F.cross_entropy(x, y, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(ours, F.cross_entropy(x, y, reduction="none", label_smoothing=smoothing))


def test_masks_come_from_the_seed_and_change_with_every_step() -> None:
    made = lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 3))  # noqa: E731
    x = torch.randn(ROWS, 8)
    traced = traced_step(made, F.cross_entropy, x, LABELS, SGD(0.0))
    losses = [
        [
            epoch.loss
            for epoch in run_epochs(
                traced.plan,
                traced.parameters,
                {"x": x, "y": LABELS},
                Schedule(ROWS, 3, seed),
                hyper=traced.hyper,
            ).history
        ]
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert len(set(losses[0])) == 3


def test_a_mask_that_the_caller_knew_would_single_rows_out() -> None:
    made = lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 3))  # noqa: E731
    x = torch.randn(ROWS, 8)
    traced = traced_step(made, F.cross_entropy, x, LABELS, SGD(0.1))
    values = {**traced.parameters, **traced.hyper, "x": x, "y": LABELS, **undrawn(traced.plan, ROWS)}
    assert refusals(traced.plan, values) == ()
    assert any("weight" in one for one in refusals(traced.plan, values, random=Level.PUBLIC))


def test_batch_norm_of_single_values_takes_no_batch_of_one_row() -> None:
    made = lambda: nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))  # noqa: E731
    x = torch.randn(7, 8)
    traced = traced_step(made, F.cross_entropy, x[:ROWS], LABELS, SGD(0.1))
    assert fewest_rows(traced.plan) == 2
    rows = {"x": x, "y": torch.arange(7) % 3}
    done = run_epochs(traced.plan, traced.parameters, rows, Schedule(3, 1, 0), hyper=traced.hyper)
    assert done.history[0].steps == 2
    assert all(bool(value.isfinite().all()) for value in done.parameters.values())
    assert int(done.parameters["1.num_batches_tracked"]) == 2
    with pytest.raises(InvalidInputError, match="outside 2"):
        run_epochs(traced.plan, traced.parameters, rows, Schedule(1, 1, 0), hyper=traced.hyper)
    wide = traced_step(lambda: lenet()[:3], lambda o, _: o.mean(), images(), LABELS, SGD(0.1))
    assert fewest_rows(wide.plan) == 1


def test_everything_that_plans_do_not_have_is_named_at_once() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.fft.fft(x).real + x.cumprod(1)) * torch.rand_like(x[:, :3])

    batch = (torch.randn(4, 4), torch.arange(4) % 3)
    with pytest.raises(PlanRejectedError) as why:
        trace_training(Odd(), F.cross_entropy, SGD(0.1), batch, name="odd")
    assert all(word in why.value.detail for word in ("_fft_r2c", "cumprod", "rand_like"))
