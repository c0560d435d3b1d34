"""Drives a run over schools that take their time, in a process of its own, to be killed."""

import sys
import time
from pathlib import Path

import torch
from torch import nn

import gridward as gw
from gridward.client.federation import entry
from gridward.client.federation.driver import Surroundings
from gridward.client.federation.setup import Choice
from tests.support.schools import School, setup_of

ROUNDS = 60


def run(folder: Path | bool, pause_s: float) -> gw.TrainingResult:
    """Train with a strategy that has a state of its own."""
    torch.manual_seed(0)
    setup = setup_of(
        nn.Linear(4, 3),
        schools(pause_s).values(),
        gw.FedAdam(learning_rate=0.01),
        rounds=ROUNDS,
        choice=Choice(0.1),
    )
    return entry.perform(nn.Linear(4, 3), setup, folder, Surroundings(shown=False))


def schools(pause_s: float) -> dict[str, School]:
    """Two that like some weights best."""
    made = [School("north", rows=30, step=0.3), School("south", rows=7, step=-0.1)]
    for school in made:
        school.bend = lambda _: time.sleep(pause_s)
        school.judge = lambda received: {"loss": abs(received["weight"].mean().item() - 0.2)}
    return {school.id: school for school in made}


if __name__ == "__main__":
    run(Path(sys.argv[1]), 0.05)
