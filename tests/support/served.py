"""Models that the company serves encrypted, and what parties hold of them."""

import sqlite3
from pathlib import Path

import torch
from torch import nn

import gridward as gw
from tests.support.grids import Grid

PARTIES = ["hospital", "public"]


def linear() -> nn.Linear:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, 4.0]]))
        model.bias.copy_(torch.tensor([1000.0]))
    return model


def small_net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 5))


class Unsupported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sin().cumsum(1)


def serve(grid: Grid, model: nn.Module, name: str, example: torch.Tensor, **wish: object) -> object:
    settings = {"parties": PARTIES, "crypto_provider": "university", "allow_remote_inference": True} | wish
    with grid.owner("company") as company:
        return company.serve_model(model, name, example, mpc=True, **settings)


def found(user: gw.GatewayClient, name: str) -> object:
    try:
        return user.describe_model(name)
    except gw.ObjectNotFoundError:
        return None


def held(grid: Grid, party: str, model_id: str, batch: int) -> dict[str, int]:
    """Say what a party's owner sees of its stock."""
    with grid.owner(party) as owner:
        bundles = owner.transport.send("GET", "/v1/bundles").json()
    stocks = [one["stock"] for one in bundles["held"] if one["model_id"] == model_id]
    return next((stock for stock in stocks[0] if stock["batch"] == batch), {"left": 0, "spent": 0})


def integrity(database: Path) -> str:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def secret_files(grid: Grid, node: str, deployment_id: str) -> set[str]:
    folders = [grid.nodes[node].data_dir / kind / deployment_id for kind in ("parties", "provider")]
    return {str(path) for folder in folders for path in folder.rglob("*") if path.is_file()}
