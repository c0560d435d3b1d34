"""Traced training steps pass the analysis at every batch size; the same steps with a leak do not."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.executors.shapes import propagate
from gridward.core.plans.ops import Op
from gridward.core.plans.optimizers import SGD, Adam
from gridward.core.plans.plan import Plan, Ref, Role, Step
from gridward.core.plans.trace import trace_module, trace_training
from gridward.core.privacy.analysis import Analysis, Feed, Level, analyse


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.hidden(x)))


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 8, 5)
        self.hidden, self.out = nn.Linear(128, 32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(torch.relu(self.one(x)), 2)
        x = functional.max_pool2d(torch.relu(self.two(x)), 2)
        return self.out(torch.relu(self.hidden(x.flatten(1))))


def step_of(module: nn.Module, shape: tuple[int, ...], optimizer: SGD | Adam) -> Plan:
    x, y = torch.randn(4, *shape), torch.arange(4)
    return trace_training(module, functional.cross_entropy, optimizer, (x, y), name="step").plan


def find(plan: Plan, rows: int, levels: Mapping[Role, Level] | None = None) -> Analysis:
    values = {n: v for n, v in propagate(plan, {"B": rows}).values.items() if v is not None}
    feeds = {
        given.name: Feed(Level.ROWS, "digits@1")
        for given in plan.inputs
        if given.role in (Role.DATA, Role.TARGET)
    }
    feeds |= {given.name: Feed(levels[given.role]) for given in plan.inputs if given.role in (levels or {})}
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    dtypes = {name: NAMES[value.dtype] for name, value in values.items()}
    return analyse(plan, feeds, shapes, dtypes, counted=False)


MLP = step_of(Mlp(), (64,), SGD(0.1))
LENET = step_of(LeNet(), (1, 28, 28), SGD(0.1, momentum=0.9))


@pytest.mark.parametrize("rows", [1, 2, 10, 17, 64, 128])
@pytest.mark.parametrize("plan", [MLP, LENET], ids=["mlp", "lenet"])
def test_a_traced_step_gives_parameters_loss_and_metrics_as_aggregates(plan: Plan, rows: int) -> None:
    found = find(plan, rows)
    assert not found.refusals
    assert {item.level for item in found.findings.values()} == {Level.AGGREGATE}
    assert found.guarded == plan


def test_adam_and_a_model_that_was_trained_on_private_rows_pass_too() -> None:
    plan = step_of(Mlp(), (64,), Adam(0.01))
    assert not find(plan, 20, {Role.PARAM: Level.AGGREGATE, Role.STATE: Level.AGGREGATE}).refusals


def test_a_regression_step_passes() -> None:
    x, y = torch.randn(4, 3), torch.randn(4, 1)
    traced = trace_training(nn.Linear(3, 1), functional.mse_loss, SGD(0.1), (x, y), name="step")
    assert not find(traced.plan, 20).refusals


def test_a_step_that_copies_a_row_into_a_parameter_is_refused_by_name() -> None:
    data = next(given.name for given in MLP.inputs if given.role is Role.DATA)
    bias = next(given.name for given in MLP.inputs if given.shape == (64,))
    theft = Step(Op.SELECT_INT, (Ref(data), 0, 0), ("stolen",))
    outputs = tuple(replace(out, ref="stolen") if out.name == bias else out for out in MLP.outputs)
    refusals = find(replace(MLP, steps=(*MLP.steps, theft), outputs=outputs), 20).refusals
    assert len(refusals) == 1
    assert refusals[0].startswith(f"output {bias}: step {len(MLP.steps)} (aten.select.int)")


def test_a_batch_as_large_as_a_layer_does_not_pass_as_its_parameters() -> None:
    data = next(given.name for given in MLP.inputs if given.role is Role.DATA)
    weight = next(given.name for given in MLP.inputs if given.shape == (64, 64))
    outputs = tuple(replace(out, ref=data) if out.name == weight else out for out in MLP.outputs)
    refusals = find(replace(MLP, outputs=outputs), 64).refusals
    assert refusals == (f"output {weight}: it still has one value for each row",)


def test_per_sample_loss_is_not_an_aggregate() -> None:
    x, y = torch.randn(4, 3), torch.arange(4) % 3

    class Losses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return functional.cross_entropy(self.out(x), y, reduction="none")

    plan = trace_module(Losses(), (x, y), name="losses").plan
    assert {item.level for item in find(plan, 20).findings.values()} == {Level.ROWS}
