"""Values that a whole story had in data, plans, uploads, answers and errors are in no line of any process."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import torch
from torch import nn

import gridward as gw
from tests.support.grids import PASSWORD, Grid, eventually, running_grid

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROWS = 64
FIRST = 48215.7193  # however it is written, its first digits are there: 4.82157e+04, 48215.72
CONSTANT = 91827.3645
QUERY = 57.318642
CANARIES = (
    "482157",
    "918273",
    "573186",
    "canary",
    "Canary",
    PASSWORD,
)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    folder = tmp_path_factory.mktemp("canaries")
    with running_grid(folder, GRIDWARD_LOG_LEVEL="debug") as running:
        yield running


def test_no_value_of_a_story_is_in_any_log(grid: Grid) -> None:
    with grid.owner("hospital") as hospital, grid.owner("company") as company:
        publish(hospital)
        serve(company)
        hospital.admit("dana@grid")
        company.admit("dana@grid")
        with grid.user("dana") as dana:
            births = eventually(lambda: next(iter(dana.search("#canaries")), None), "the dataset in search")
            compute(births)
            ask_and_decide(births, hospital)
            train(births)
            query(dana)
        fail(grid, hospital)
    for server in (grid.gateway, *grid.nodes.values()):
        server.stop()
    lines = read(grid)
    assert len(lines) > 100
    assert not [(line, found) for line in lines if (found := canaries_in(line))]
    assert not [line for line in lines if re.search(r"eyJ[\w-]+\.eyJ", line)]
    assert any('"route": "/v1/requests"' in line for line in lines)


@pytest.mark.parametrize("value", [FIRST, CONSTANT, QUERY])
def test_a_value_is_found_however_it_is_written(value: float) -> None:
    single = torch.tensor([value])
    for said in (value, f"{value:e}", single, single.item(), single.numpy(), f"{value:.8g}"):
        assert canaries_in(f'{{"event": "computed {said}"}}'), said
    assert not canaries_in('{"event": "done", "timestamp": "2026-01-01T10:00:48.215719Z"}')


def canaries_in(line: str) -> list[str]:
    """What a line gives away. Points are left out, since they move with the way a number is written."""
    written = re.sub(r"\d\d:\d\d:\d\d\.\d+", "", line).replace(".", "")
    return [word for word in CANARIES if word in written]


def publish(hospital: gw.NodeClient) -> None:
    drawn = torch.Generator().manual_seed(1)
    x = torch.rand(ROWS, 4, generator=drawn) * FIRST
    x[0, 0] = FIRST
    hospital.publish(
        "births",
        {"x": x, "y": (x[:, 0] > FIRST / 2).long()},
        description="canary-description",
        tags=["#canaries"],
        access=gw.Access(discover=[gw.SIGNED_IN], compute=[gw.SIGNED_IN], train=[gw.SIGNED_IN]),
        rows_are_entities=True,
    )


def serve(company: gw.NodeClient) -> None:
    model = nn.Linear(2, 1)
    company.serve_model(
        model,
        "hidden",
        torch.zeros(1, 2),
        mpc=True,
        parties=["hospital", "public"],
        crypto_provider="university",
        allow_remote_inference=True,
    )


def compute(births: gw.DatasetPointer) -> None:
    """An answer, a refused value, and one that fails on the way."""
    assert (births["x"][:, 0] * CONSTANT).mean().get().item() > 0
    with pytest.raises(gw.GetNotPermittedError):
        (births["x"][0, 0] * CONSTANT).get()
    with suppress(gw.GridError):
        (births["x"] / (births["x"] * 0) * CONSTANT).mean().get()


def ask_and_decide(births: gw.DatasetPointer, hospital: gw.NodeClient) -> None:
    asked = (births["x"][:, 1] + CONSTANT).max().request("canary-reason")
    request = hospital.requests[asked.id]
    request.preview()
    request.approve(note=f"canary-note {FIRST}")
    assert (births["x"][:, 1] + CONSTANT).max().get().item() > CONSTANT


def train(births: gw.DatasetPointer) -> None:
    """A training that ends, and one that diverges."""
    for rate in (1e-12, 1e12):
        remote = gw.send(nn.Sequential(nn.Linear(4, 2)), births.location)
        with suppress(gw.GridError):
            remote.train(births, epochs=1, batch_size=16, optimizer=gw.SGD(lr=rate))


def query(dana: gw.GatewayClient) -> None:
    def known() -> object:
        try:
            return dana.describe_model("hidden")
        except gw.ObjectNotFoundError:
            return None

    eventually(known, "the gateway to know the model")
    assert dana.query_model("hidden", torch.tensor([[QUERY, QUERY]]), mpc=True).shape == (1, 1)


def fail(grid: Grid, hospital: gw.NodeClient) -> None:
    """Uploads that are no data, bodies that are no JSON, passwords that are wrong."""
    url = grid.nodes["hospital"].url
    for name, text in (("a.csv", f"x,y\n{FIRST},canary-cell\n{FIRST}\n"), ("a.npy", "canary-bytes")):
        path = grid.nodes["hospital"].data_dir.parent / name
        path.write_text(text)
        with pytest.raises(gw.GridError):
            hospital.publish("broken", path)
    token = {"Authorization": f"Bearer {hospital.transport.credentials.token()}"}  # type: ignore[union-attr]
    for body in (b'{"canary": ', f'{{"plan": "{FIRST}", "canary": {CONSTANT}}}'.encode()):
        for path_ in ("/v1/computations", "/v1/requests", "/v1/datasets?canary=1", "/canary/1"):
            httpx2.post(url + path_, content=body, headers=token, trust_env=False)
    with pytest.raises(gw.WrongCredentialsError):
        gw.connect(url, "bob", "canary-password")


def read(grid: Grid) -> list[str]:
    paths: list[Path] = [server.log for server in (grid.gateway, *grid.nodes.values())]
    return [line for path in paths for line in path.read_text().splitlines()]
