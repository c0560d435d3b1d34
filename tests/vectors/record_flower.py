"""Writes flower.json: what Flower's strategies make of updates, round after round.

Run it in an environment of its own, since Flower's pins fight ours: `pip install flwr==1.42.0 numpy`, then
`python tests/vectors/record_flower.py`.
"""

import json
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

import numpy as np
from flwr.common import FitRes, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import Code, Status
from flwr.server.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedMedian, FedTrimmedAvg, FedYogi, Krum

SHAPES = ((3, 2), (4,))
NODES = 7
ROUNDS = 4
ROWS = [10, 40, 25, 5, 60, 33, 1]


def drawn(rng: np.random.Generator, scale: float) -> list[np.ndarray]:
    return [rng.normal(scale=scale, size=shape).astype(np.float32) for shape in SHAPES]


def answers(updates: list[list[np.ndarray]]) -> list[tuple[Mock, FitRes]]:
    status = Status(Code.OK, "")
    return [
        (Mock(), FitRes(status, ndarrays_to_parameters(update), rows, {}))
        for update, rows in zip(updates, ROWS, strict=True)
    ]


def main() -> None:
    rng = np.random.default_rng(7)
    start = drawn(rng, 1.0)
    moves = [[drawn(rng, 0.3) for _ in range(NODES)] for _ in range(ROUNDS)]
    first = ndarrays_to_parameters(start)
    strategies = {
        "FedAvg": FedAvg(),
        "FedAvgM": FedAvgM(initial_parameters=first, server_learning_rate=0.7, server_momentum=0.9),
        "FedAdam": FedAdam(initial_parameters=first, eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3),
        "FedYogi": FedYogi(initial_parameters=first, eta=0.01, beta_1=0.9, beta_2=0.99, tau=1e-3),
        "FedAdagrad": FedAdagrad(initial_parameters=first, eta=0.1, tau=1e-3),
        "FedMedian": FedMedian(),
        "TrimmedMean": FedTrimmedAvg(beta=0.2),
        "Krum": Krum(num_malicious_clients=2, num_clients_to_keep=0),
        "MultiKrum": Krum(num_malicious_clients=1, num_clients_to_keep=3),
    }
    found = {}
    for name, strategy in strategies.items():
        now, rounds = start, []
        for number, moved in enumerate(moves, start=1):
            updates = [[value + move for value, move in zip(now, one, strict=True)] for one in moved]
            made, _ = strategy.aggregate_fit(number, answers(updates), [])
            now = [np.asarray(value, np.float32) for value in parameters_to_ndarrays(made)]
            rounds.append([value.tolist() for value in now])
        found[name] = rounds
    written = {
        "flwr": version("flwr"),
        "rows": ROWS,
        "start": [value.tolist() for value in start],
        "moves": [[[value.tolist() for value in one] for one in moved] for moved in moves],
        "rounds": found,
    }
    Path(__file__).with_name("flower.json").write_text(json.dumps(written) + "\n")


if __name__ == "__main__":
    main()
