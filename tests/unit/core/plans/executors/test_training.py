"""The training loop feeds every row once an epoch, in batches never too small, and repeats by seed."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gridward.core.errors import InvalidInputError, PlanLimitError
from gridward.core.plans.executors.batches import batches
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.training import Epoch, Schedule, run_epochs
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.trace import Traced, trace_function, trace_training


def traced() -> Traced:
    torch.manual_seed(0)
    batch = (torch.randn(4, 3), torch.arange(4) % 2)
    return trace_training(nn.Linear(3, 2), F.cross_entropy, SGD(0.5, momentum=0.9), batch, name="m")


def rows(count: int = 50) -> dict[str, Tensor]:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(5))
    return {"x": x, "y": (x[:, 0] > 0).long()}


@given(st.integers(1, 300), st.integers(1, 70), st.integers(1, 70))
def test_batches_hold_every_row_once_and_none_is_too_small(
    count: int, batch_size: int, min_rows: int
) -> None:
    if batch_size < min_rows or count < min_rows:
        return
    cut = list(batches(torch.arange(count), batch_size, min_rows))
    assert torch.equal(torch.cat(cut), torch.arange(count))
    assert all(min_rows <= len(batch) < batch_size + min_rows for batch in cut)
    assert all(len(batch) == batch_size for batch in cut[:-1])


def test_training_learns_and_tells_of_each_epoch() -> None:
    told: list[Epoch] = []
    step = traced()
    result = run_epochs(
        step.plan, step.parameters, rows(), Schedule(8, 5, 1), hyper=step.hyper, on_epoch=told.append
    )
    assert tuple(told) == result.history
    assert [epoch.epoch for epoch in told] == list(range(5))
    assert told[-1].loss < told[0].loss
    assert told[-1].metrics["correct"] > 40
    assert all(epoch.rows == 50 for epoch in told)
    assert set(result.parameters) == set(step.parameters)


def test_one_epoch_is_the_steps_that_torch_would_take() -> None:
    step, data = traced(), rows(20)
    result = run_epochs(step.plan, step.parameters, data, Schedule(8, 2, 7), hyper=step.hyper)
    model = nn.Linear(3, 2)
    model.load_state_dict({name: step.parameters[name] for name in ("weight", "bias")})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    generator = torch.Generator().manual_seed(7)
    for _ in range(2):
        order = torch.randperm(20, generator=generator)
        for batch in (order[:8], order[8:16], order[16:]):
            optimizer.zero_grad()
            F.cross_entropy(model(data["x"][batch]), data["y"][batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    torch.testing.assert_close(result.parameters["weight"], model.weight.detach())
    torch.testing.assert_close(result.parameters["bias"], model.bias.detach())


def test_a_seed_repeats_a_training_and_another_does_not() -> None:
    step = traced()
    first, again, other = (
        run_epochs(step.plan, step.parameters, rows(), Schedule(8, 1, seed), hyper=step.hyper)
        for seed in (1, 1, 2)
    )
    assert torch.equal(first.parameters["weight"], again.parameters["weight"])
    assert not torch.equal(first.parameters["weight"], other.parameters["weight"])


def test_the_given_parameters_are_not_changed() -> None:
    step = traced()
    before = {name: value.clone() for name, value in step.parameters.items()}
    run_epochs(step.plan, step.parameters, rows(), Schedule(8, 1, 1), hyper=step.hyper)
    assert all(torch.equal(value, before[name]) for name, value in step.parameters.items())


def test_metrics_do_not_depend_on_the_sizes_of_batches() -> None:
    step = traced()
    still = {"lr": torch.tensor(0.0)}
    losses = [
        run_epochs(step.plan, step.parameters, rows(), Schedule(size, 1, 1, least), hyper=still).history[0]
        for size, least in ((50, 1), (8, 1), (7, 3))
    ]
    assert losses[0].loss == pytest.approx(losses[1].loss)
    assert losses[0].loss == pytest.approx(losses[2].loss)
    assert losses[0].metrics == losses[1].metrics == losses[2].metrics


def test_too_few_rows_are_refused() -> None:
    step = traced()
    with pytest.raises(InvalidInputError, match="at least 5 rows"):
        run_epochs(step.plan, step.parameters, rows(4), Schedule(8, 1, 1, min_rows=5), hyper=step.hyper)


def test_data_and_targets_have_the_same_number_of_rows() -> None:
    step = traced()
    with pytest.raises(InvalidInputError, match=r"number of rows: \[4, 5\]"):
        run_epochs(
            step.plan,
            step.parameters,
            rows(5) | {"y": torch.zeros(4).long()},
            Schedule(8, 1, 1),
            hyper=step.hyper,
        )


def test_only_plans_for_training_train() -> None:
    other = trace_function(lambda x: x, {"x": torch.ones(2, 3)}, name="identity")
    with pytest.raises(InvalidInputError, match="is for inference"):
        run_epochs(other.plan, {}, {"x": torch.ones(2, 3)}, Schedule(1, 1, 1))


def test_the_whole_training_is_estimated_before_it_starts() -> None:
    step = traced()
    one = Limits(operations=2000)
    run_epochs(step.plan, step.parameters, rows(8), Schedule(8, 1, 1), hyper=step.hyper, limits=one)
    with pytest.raises(PlanLimitError, match="elementary operations"):
        run_epochs(step.plan, step.parameters, rows(8), Schedule(8, 50, 1), hyper=step.hyper, limits=one)
    with pytest.raises(PlanLimitError, match="bytes of memory"):
        run_epochs(
            step.plan,
            step.parameters,
            rows(8),
            Schedule(8, 1, 1),
            hyper=step.hyper,
            limits=Limits(memory_bytes=300),
        )


def test_the_time_limit_ends_a_training_between_batches() -> None:
    step = traced()
    ticks = iter(range(10_000))
    with pytest.raises(PlanLimitError, match="the time limit passed"):
        run_epochs(
            step.plan,
            step.parameters,
            rows(),
            Schedule(8, 99, 1),
            hyper=step.hyper,
            limits=Limits(time_s=60),
            clock=lambda: float(next(ticks)),
        )


@pytest.mark.parametrize(
    ("batch_size", "epochs", "seed", "min_rows"),
    [(0, 1, 1, 1), (8, 0, 1, 1), (8, 1, -1, 1), (8, 1, 1, 0), (4, 1, 1, 5)],
)
def test_senseless_schedules_are_refused(batch_size: int, epochs: int, seed: int, min_rows: int) -> None:
    with pytest.raises(InvalidInputError):
        Schedule(batch_size, epochs, seed, min_rows)
