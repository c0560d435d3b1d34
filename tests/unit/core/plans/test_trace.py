"""Traced plans give bit for bit what their authors' functions give, at every batch size, or are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.codec import decode, encode
from gridward.core.plans.executors.plain import run
from gridward.core.plans.ops import Op
from gridward.core.plans.optimizers import SGD, Adam, Optimizer
from gridward.core.plans.plan import Dim, DimRange, DType, Input, Kind, Output, Role
from gridward.core.plans.trace import Traced, resize, trace_function, trace_module, trace_training

BATCHES = (1, 2, 17, 128)


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def lenet() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "lenet": lenet}


def digits(rows: int = 20) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, 1, 28, 28, generator=generator), torch.arange(rows) % 10


def replay(traced: Traced, batches: tuple[int, ...] = BATCHES) -> None:
    """Compare the decoded plan with the author's function, bit for bit."""
    plan = decode(encode(traced.plan))
    assert plan == traced.plan
    for rows in batches:
        inputs = resize(traced.examples, plan, rows)
        given, wanted = run(plan, inputs), traced.eager(inputs)
        assert given.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(given[name], value, rtol=0, atol=0, msg=f"{name} at {rows}")


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Hold torch to one thread: with more, sums may be added in another order from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("model", MODELS)
def test_inference_is_replayed_exactly(model: str) -> None:
    module = MODELS[model]()
    traced = trace_module(module, (digits()[0],), name=model)
    replay(traced)
    assert traced.plan.kind is Kind.INFERENCE
    assert traced.plan.dims == (("B", DimRange(1)),)
    assert traced.plan.inputs[-1] == Input("x", Role.DATA, DType.FLOAT32, (Dim("B"), 1, 28, 28))
    assert set(traced.parameters) == set(module.state_dict())
    x, _ = digits(7)
    with torch.no_grad():
        wanted = module(x)
    assert torch.equal(run(traced.plan, traced.parameters | {"x": x})["output"], wanted)


@pytest.mark.parametrize(
    "optimizer", [SGD(0.1), SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-4), Adam()], ids=repr
)
@pytest.mark.parametrize("model", MODELS)
def test_a_training_step_is_replayed_exactly(model: str, optimizer: Optimizer) -> None:
    traced = trace_training(MODELS[model](), F.cross_entropy, optimizer, digits(), name=model)
    replay(traced)
    assert traced.plan.outputs[0].role is Role.LOSS
    assert traced.plan.outputs[1] == Output("correct", Role.METRIC, traced.plan.outputs[1].ref)
    assert set(traced.hyper) == {"lr"}


def test_plans_of_the_two_models_are_small() -> None:
    steps = {
        name: len(trace_training(make(), F.cross_entropy, SGD(0.1), digits(), name=name).plan.steps)
        for name, make in MODELS.items()
    }
    assert steps == {"mlp": 32, "lenet": 67}


def test_a_step_does_what_torch_itself_does() -> None:
    module, (x, y) = lenet(), digits()
    traced = trace_training(module, F.cross_entropy, SGD(0.1), (x, y), name="lenet")
    results = run(traced.plan, traced.parameters | traced.hyper | {"x": x, "y": y})
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    loss = F.cross_entropy(module(x), y)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    torch.testing.assert_close(results["loss"], loss.detach())
    for name, value in module.named_parameters():
        torch.testing.assert_close(results[name], value.detach())
    assert 0 <= int(results["correct"]) <= 20


def test_mean_squared_error_counts_the_rows_it_gets() -> None:
    targets = torch.randn(20, 10)
    traced = trace_training(mlp(), F.mse_loss, SGD(0.1), (digits()[0], targets), name="mse")
    replay(traced)
    assert [output.role for output in traced.plan.outputs].count(Role.METRIC) == 0


def test_the_learning_rate_stays_an_input() -> None:
    x, y = digits()
    traced = trace_training(mlp(), F.cross_entropy, SGD(0.1), (x, y), name="mlp")
    fed = traced.parameters | {"x": x, "y": y, "lr": torch.tensor(0.0)}
    results = run(traced.plan, fed)
    assert all(torch.equal(results[name], value) for name, value in traced.parameters.items())


def test_frozen_parameters_stay_inputs_and_are_not_replaced() -> None:
    module = mlp()
    module[1].weight.requires_grad_(False)  # type: ignore[index]
    traced = trace_training(module, F.cross_entropy, SGD(0.1), digits(), name="mlp")
    assert "1.weight" in traced.parameters
    assert "1.weight" not in {output.name for output in traced.plan.outputs}


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "layer norm": (nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU(), nn.Softmax(-1)), (5,)),
    "batch norm": (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(), nn.Dropout(), nn.AvgPool2d(2)),
        (1, 9, 9),
    ),
    "adaptive pool": (nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Sigmoid()), (3, 8, 8)),
    "leaky": (nn.Sequential(nn.LeakyReLU(0.1), nn.Tanh(), nn.Hardtanh()), (4,)),
    "in place": (nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), (4,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_common_layers_are_replayed_exactly(name: str) -> None:
    module, shape = LAYERS[name]
    replay(trace_module(module, (torch.randn(4, *shape),), name="layer"))


def test_an_op_that_torch_takes_apart_may_differ_in_the_last_bit() -> None:
    traced = trace_module(nn.SiLU(), (torch.randn(4, 4),), name="silu")
    given = run(traced.plan, traced.examples)["output"]
    torch.testing.assert_close(given, traced.eager(traced.examples)["output"], rtol=1e-6, atol=1e-7)


FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "statistics": lambda a, b: (a.mean(), a.var(0, unbiased=False), a.sum(1), a.amax(), a.argmin(1)),
    "numbers": lambda a, b: (1 - a) / 2 + 3 / b.unsqueeze(1) - a * 2.5 + a % 2,
    "the number of rows": lambda a, b: a.sum() / a.shape[0] + a.mean() * (2.0 / a.numel()),
    "a constant": lambda a, b: a * torch.tensor([1.0, 2.0, 3.0, 4.0]),
    "a scalar constant": lambda a, b: torch.maximum(a, torch.tensor(0.3)),
    "rows made of nothing": lambda a, b: (
        a + torch.zeros_like(a) + torch.ones(a.shape[0], 4) * b.new_full((), 2)
    ),
    "joins": lambda a, b: (torch.cat([a, a]), torch.stack([a, a], 1), torch.cat([a, b.unsqueeze(1)], 1)),
    "parts": lambda a, b: (a[:, 1:3], a[:, 0], a[..., None], a[:, -1:]),
    "shapes": lambda a, b: (
        a.reshape(-1),
        a.t(),
        a.view(-1, 2, 2).transpose(1, 2),
        b.unsqueeze(0).squeeze(0),
    ),
    "choices": lambda a, b: (a.clamp(min=0), torch.where(a > 0, a, 0.0), a.masked_fill(a < 0, -1.0)),
    "products": lambda a, b: (a.t() @ a, torch.einsum("bi,bj->ij", a, a), torch.outer(b, b).sum(0)),
    "a mask": lambda a, b: a[b > 0].sum(0),
    "types": lambda a, b: (
        a.double(),
        a.long().sum(),
        (a > 0).float().mean(),
        (a > 0).any(),
        a.bool().all(1),
    ),
    "softmax": lambda a, b: (a.softmax(1), a.log_softmax(-1), a.logsumexp(1)),
    "names": lambda a, b: {"total": a.sum(), "rows": b},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_replayed_exactly(name: str) -> None:
    torch.manual_seed(3)
    examples = {"a": torch.randn(6, 4), "b": torch.rand(6) + 0.5}
    replay(trace_function(FUNCTIONS[name], examples, name="function"), (1, 2, 17))


def test_a_function_names_roles_and_kind() -> None:
    traced = trace_function(
        lambda w, x: {"y": x @ w},
        {"w": torch.randn(3), "x": torch.randn(5, 3)},
        name="line",
        roles={"w": Role.PARAM},
        output_roles={"y": Role.METRIC},
    )
    assert [value.role for value in traced.plan.inputs] == [Role.PARAM, Role.DATA]
    assert traced.plan.outputs[0].name == "y"
    assert traced.plan.outputs[0].role is Role.METRIC


def test_pool_strides_are_written_out_and_dimensions_count_from_the_front() -> None:
    traced = trace_module(
        nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Softmax(-1)), (torch.randn(2, 1, 4, 4),), name="pool"
    )
    pool, _, softmax = traced.plan.steps
    assert pool.op is Op.MAX_POOL2D_WITH_INDICES
    assert pool.args[1:] == ((2, 2), (2, 2), (0, 0), (1, 1), False)
    assert softmax.args[1] == 1


def fail_by_value(a: Tensor) -> Tensor:
    return a.sum() if a.sum() > 0 else a.mean()


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "unknown ops, all at once": (
        lambda a: (torch.fft.fft(a).real, a.cumprod(0)),
        r"aten\._fft_r2c.default; aten\.cumprod\.default",
    ),
    "randomness": (lambda a: a + torch.rand_like(a), r"aten\.rand_like\.default"),
    "dropout": (lambda a: F.dropout(a, 0.5, training=True), "dropout is random: only a training step"),
    "a fixed batch": (lambda a: a.reshape(13, 4), "silently fixed"),
    "a wrong batch": (lambda a: a.reshape(6, 4), "cannot become a plan"),
    "branches on values": (fail_by_value, "cannot become a plan"),
    "half precision": (lambda a: a.half().float(), "float16 does not travel"),
    "two sizes of the batch": (lambda a: torch.ones(a.shape[0] + 1, 4) + 1, "no multiple of the batch"),
    "no tensor": (lambda a: 3, "gives a tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_plan_is_refused(name: str) -> None:
    function, words = REFUSED[name]
    rows = 13 if name == "a fixed batch" else 6
    with pytest.raises(PlanRejectedError, match=words):
        trace_function(function, {"a": torch.randn(rows, 4)}, name="f")


def test_examples_of_other_types_are_refused_by_name() -> None:
    with pytest.raises(PlanRejectedError, match=r"'a' is torch\.float16"):
        trace_function(lambda a: a, {"a": torch.zeros(2, dtype=torch.float16)}, name="f")


def test_batch_norm_without_a_momentum_is_refused_with_advice() -> None:
    module = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, momentum=None))
    with pytest.raises(PlanRejectedError, match="batch norm a momentum"):
        trace_training(module, F.cross_entropy, SGD(0.1), (torch.randn(6, 5), torch.arange(6)), name="bn")


def test_a_name_of_a_parameter_cannot_name_the_data() -> None:
    with pytest.raises(PlanRejectedError, match="no parameter has"):
        trace_module(nn.Linear(2, 1), (torch.randn(2, 2),), name="m", input_names=["weight"])


def test_a_module_is_left_in_its_mode() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    module[1].eval()
    trace_module(module, (torch.randn(2, 2),), name="m")
    assert module.training
    assert not module[1].training
    assert all(value.requires_grad for value in module.parameters())
