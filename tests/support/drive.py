"""Drives a run in a process of its own, to be killed: the address of a gateway, a folder, rounds."""

import sys
from pathlib import Path

import torch
from torch import nn

import gridward as gw
from tests.support.grids import PASSWORD


def network() -> nn.Module:
    """The model of the run, the same in every process."""
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def train(grid: gw.GatewayClient, folder: Path | bool, rounds: int) -> gw.TrainingResult:
    """Train over all nodes with the dataset."""
    return grid.train(
        network(),
        data=grid.search("#points"),
        rounds=rounds,
        batch_size=10,
        seed=5,
        strategy=gw.FedAdam(learning_rate=0.05),
        validation=0.2,
        quorum=2,
        wait_s=60,
        checkpoint=folder,
    )


if __name__ == "__main__":
    with gw.network(sys.argv[1], username="dana", password=PASSWORD) as grid:
        train(grid, Path(sys.argv[2]), int(sys.argv[3]))
