"""Story 2: a model learns from digits on two nodes; the digits stay there."""

import torch
from torch import nn

import gridward as gw
from gridward.demo.grid import DemoGrid, await_found
from gridward.demo.materials import Digits, lenet
from gridward.demo.stage import Stage

ROUNDS = 5
BATCH = 32
MODEL_SEED = 7
#: LeNet has more parameters than there are digits; owners of data that is not public think twice.
LARGE_MODELS = gw.Disclosure(residual_degrees=None, parameter_share=None)


def accuracy(model: nn.Module, digits: dict[str, torch.Tensor]) -> float:
    """Share of digits that the model names right."""
    with torch.no_grad():
        return float((model(digits["images"]).argmax(1) == digits["labels"]).float().mean())


def _both(grid: DemoGrid) -> gw.SearchResult | None:
    found = grid.scientist.search("#mnist")
    return found if len(found) == 2 else None


def play(grid: DemoGrid, stage: Stage, digits: Digits) -> nn.Module:
    """Publish the digits at two nodes, train over both, and return the model."""
    stage.title("2  Federated learning: the model travels, the data stays")
    anyone = gw.SIGNED_IN
    access = gw.Access(discover=anyone, compute=anyone, train=anyone, export_model=anyone)
    for node, part in (("public", digits.first), ("university", digits.second)):
        grid.owners[node].publish(
            "digits",
            part,
            description="MNIST digits",
            tags=["#mnist"],
            access=access,
            rows_are_entities=True,
            disclosure=LARGE_MODELS,
        )
        stage.act(grid.owners[node].name, f"publishes {len(part['labels']):,} MNIST digits to train on")
    datasets = await_found(lambda: _both(grid), "both nodes' digits")
    torch.manual_seed(MODEL_SEED)
    model = lenet()
    before = accuracy(model, digits.held_out)
    stage.act("dana", f"trains a LeNet over {len(datasets)} datasets, {ROUNDS} rounds of federated averaging")
    result = grid.scientist.train(
        model,
        loss=nn.functional.cross_entropy,
        optimizer=gw.SGD(lr=0.05, momentum=0.9),
        data=datasets,
        inputs="images",
        targets="labels",
        rounds=ROUNDS,
        batch_size=BATCH,
        strategy=gw.FedAvg(),
        secure=False,
    )
    after = accuracy(result.model, digits.held_out)
    count = len(digits.held_out["labels"])
    stage.result(f"accuracy on {count:,} held-out digits: {before:.1%} before, {after:.1%} after")
    stage.saw(
        [
            ("public", "its own 2,000 digits, the model of each round"),
            ("university", "its own 2,000 digits, the model of each round"),
            ("dana", "the models that both nodes sent back; no digit of theirs"),
            ("gateway", "names, tags and shapes"),
        ]
    )
    return result.model
