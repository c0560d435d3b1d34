"""Rounds of federated averaging over real node processes, through the SDK."""

from collections.abc import Iterator
from typing import Final

import torch
from torch.nn import functional

import gridward as gw
from gridward.bench.grid import running_grid
from gridward.bench.measure import Options, Result, require, summary
from gridward.bench.networks import Network, network
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.federation.history import RoundReport
from gridward.client.node import NodeClient

ROWS: Final = 1000
BATCH: Final = 50
CLASSES: Final = 10


def run(options: Options) -> Iterator[Result]:
    """Train ``repeat`` rounds of one epoch after one that is not counted."""
    asked = network(options.model)
    names = [f"node-{at}" for at in range(options.nodes)]
    with running_grid({name: {} for name in names}) as grid:
        for seed, name in enumerate(names):
            _publish(grid.owners[name], asked, seed)
        result = grid.scientist.train(
            asked.module,
            data=[_seen(grid.scientist.node(name)) for name in names],
            loss=functional.cross_entropy,
            optimizer=gw.SGD(lr=0.05),
            inputs="images",
            targets="labels",
            rounds=options.repeat + 1,
            batch_size=BATCH,
            progress=False,
        )
    moved = any(
        not torch.equal(before, after)
        for before, after in zip(asked.module.parameters(), result.model.parameters(), strict=True)
    )
    require(moved, "the model came back as it went")
    yield _result(asked, result.history, options)


def _result(asked: Network, history: list[RoundReport], options: Options) -> Result:
    for report in history:
        lost = sorted(set(report.failures))
        require(len(report.nodes) == options.nodes, f"round {report.number}: nothing from {', '.join(lost)}")
    counted = history[1:]
    rounds = summary([report.seconds for report in counted])
    slowest = [max(node.seconds for node in report.nodes) for report in counted]
    return Result(
        {
            "model": options.model,
            "nodes": options.nodes,
            "rows_per_node": ROWS,
            "batch": BATCH,
            "epochs": 1,
            "strategy": "FedAvg",
        },
        {
            "round_s": rounds,
            "updates_per_s": options.nodes / rounds["median"],
            "slowest_training_s": summary(slowest),
            "parameter_bytes": sum(
                value.numel() * value.element_size() for value in asked.module.parameters()
            ),
        },
    )


def _publish(owner: NodeClient, asked: Network, seed: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    rows = {
        "images": asked.inputs(ROWS, seed),
        "labels": torch.randint(0, CLASSES, (ROWS,), generator=drawn),
    }
    anyone = gw.SIGNED_IN
    access = gw.Access(discover=anyone, train=anyone, export_model=anyone)
    large = gw.Disclosure(residual_degrees=None, parameter_share=None)
    owner.publish("digits", rows, access=access, rows_are_entities=True, disclosure=large)


def _seen(node: NodeClient) -> DatasetPointer:
    return node.dataset("digits")
