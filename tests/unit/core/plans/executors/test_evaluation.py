"""An evaluation is the module's own loss and metrics over all rows, however they are cut into batches."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridward.core.errors import InvalidInputError, PlanLimitError, PlanRejectedError
from gridward.core.plans.executors.evaluation import evaluate
from gridward.core.plans.executors.gate import publish
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.trace import Traced, trace_evaluation, trace_training


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 2))


def certainty(output: Tensor, _targets: Tensor) -> Tensor:
    return output.softmax(1).amax(1).mean()


def sure(output: Tensor, _targets: Tensor) -> Tensor:
    return (output.softmax(1).amax(1) > 0.6).float().mean()


def traced() -> Traced:
    batch = (torch.randn(4, 3), torch.arange(4) % 2)
    return publish(
        trace_evaluation(
            module(), F.cross_entropy, batch, name="m", metrics={"certainty": certainty, "sure": sure}
        )
    )


def rows(count: int = 50) -> dict[str, Tensor]:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(5))
    return {"x": x, "y": (x[:, 0] > 0).long()}


@pytest.mark.parametrize(("batch_size", "min_rows"), [(50, 1), (8, 1), (8, 3), (7, 5)])
def test_loss_and_metrics_are_those_of_the_module_in_eval_mode(batch_size: int, min_rows: int) -> None:
    exam, data = traced(), rows()
    found = evaluate(exam.plan, exam.parameters, data, batch_size, min_rows, limits=Limits())
    with torch.no_grad():
        output = module().eval()(data["x"])
    assert found.loss == pytest.approx(float(F.cross_entropy(output, data["y"])), rel=1e-5)
    assert found.metrics["accuracy"] == int((output.argmax(1) == data["y"]).sum())
    assert found.metrics["certainty"] / 50 == pytest.approx(float(certainty(output, data["y"])), rel=1e-5)
    assert found.metrics["sure"] / 50 == pytest.approx(float(sure(output, data["y"])), rel=1e-5)


def test_only_the_chosen_rows_are_judged() -> None:
    exam, data = traced(), rows()
    chosen = torch.tensor([3, 7, 8, 40])
    some = evaluate(exam.plan, exam.parameters, data, 3, chosen=chosen)
    alone = evaluate(exam.plan, exam.parameters, {n: v[chosen] for n, v in data.items()}, 3)
    assert some == alone
    assert some.rows == 4


def test_what_does_not_fit_is_refused() -> None:
    exam = traced()
    batch = (torch.ones(2, 3), torch.ones(2, 2))
    step = trace_training(nn.Linear(3, 2), F.mse_loss, SGD(0.1), batch, name="m")
    with pytest.raises(InvalidInputError, match="is for training"):
        evaluate(step.plan, step.parameters, rows(), 8)
    with pytest.raises(PlanLimitError, match="elementary operations"):
        evaluate(exam.plan, exam.parameters, rows(), 8, limits=Limits(operations=100))
    with pytest.raises(InvalidInputError, match="at least 9 rows"):
        evaluate(exam.plan, exam.parameters, rows(8), 8, min_rows=9)
    ticks = iter(range(10_000))
    with pytest.raises(PlanLimitError, match="time limit"):
        evaluate(
            exam.plan, exam.parameters, rows(), 1, limits=Limits(time_s=5), clock=lambda: float(next(ticks))
        )


def test_a_metric_gives_one_number() -> None:
    batch = (torch.randn(4, 3), torch.arange(4) % 2)
    with pytest.raises(PlanRejectedError, match="'each' gives"):
        trace_evaluation(
            module(), F.cross_entropy, batch, name="m", metrics={"each": lambda output, _: output.amax(1)}
        )
