import pytest
import torch

from gridward.bench import plan
from gridward.bench.measure import Options, WrongResultError
from gridward.core.plans.executors import plain


@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_overhead_is_the_difference_over_the_steps(model: str) -> None:
    (result,) = plan.run(Options(repeat=1, model=model, batch=2))
    told = result.measured
    difference = told["plan_s"]["median"] - told["torch_s"]["median"]
    assert told["overhead_per_step_s"] == pytest.approx(difference / told["steps"])


def test_a_plan_that_answers_otherwise_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "run", lambda *_: {"output": torch.zeros(1, 10)})
    with pytest.raises(WrongResultError, match="another answer than torch"):
        list(plan.run(Options(repeat=1, model="mlp")))
