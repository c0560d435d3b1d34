"""Story 1: statistics on data that nobody may see."""

import torch

import gridward as gw
from gridward.client.pointers import Pointer
from gridward.core.errors import GridError
from gridward.demo.grid import DemoGrid, await_found
from gridward.demo.materials import WARD, births
from gridward.demo.stage import Stage


def play(grid: DemoGrid, stage: Stage) -> None:
    """Publish, find, be refused, compute. Raises ``AssertionError`` where an answer is not the true one."""
    stage.title("1  Private statistics: the question travels, the data stays")
    hospital = grid.owners["hospital"]
    hospital.publish(
        "birth-records",
        WARD,
        description="Monthly birth records of the pediatric ward: weight (kg), height (cm)",
        tags=["#birth-records", "#february"],
        allowed_users=["bob", "ana", "alice"],
        rows_are_entities=True,
        bounds={"weight": (0.5, 6.0), "height": (30, 60)},
        min_rows=5,
    )
    table = births()
    hospital.publish(
        "births",
        table,
        description="1,832 births: weight (kg), age of the mother (years), male (0 or 1)",
        tags=["#birth-records", "#all-wards"],
        allowed_users=["bob"],
        rows_are_entities=True,
    )
    stage.act(
        "bob", "publishes 5 and 1,832 birth records at the hospital; only he and his list may read them"
    )
    grid_hits = _find(grid, stage)
    records = grid_hits["hospital"][0]
    for words, question in (
        ("the values", records),
        ("one baby's weight", records["weight"][0]),
        ("the largest weight", records["weight"].max()),
    ):
        _is_refused(stage, words, question)
    weight, height = records["weight"].mean().get(), records["height"].mean().get()
    stage.act("dana", 'asks records["weight"].mean() and records["height"].mean(), computed at the hospital')
    stage.result(f"{float(weight):.2f} kg, {float(height):.2f} cm")
    torch.testing.assert_close(weight, WARD["weight"].mean())
    torch.testing.assert_close(height, WARD["height"].mean())
    _ask_all_wards(grid, stage, table)
    stage.saw(
        [
            ("hospital", "the data, dana's plans, and what it released to her (in its audit log)"),
            ("gateway", "names, tags and shapes that the hospital made discoverable; never a value"),
        ]
    )


def _find(grid: DemoGrid, stage: Stage) -> gw.SearchResult:
    hits = await_found(lambda: grid.scientist.search("#birth-records", "#february"), "the ward's records")
    stage.act("dana", 'searches the grid for "#birth-records" "#february"')
    stage.result(repr(hits))
    return hits


def _is_refused(stage: Stage, words: str, question: Pointer) -> None:
    stage.act("dana", f"asks for {words}")
    try:
        question.get()
    except GridError as error:
        stage.refused(error)
    else:
        raise AssertionError(f"{words} left the hospital")


def _ask_all_wards(grid: DemoGrid, stage: Stage, table: dict[str, torch.Tensor]) -> None:
    hits = await_found(lambda: grid.scientist.search("#birth-records", "#all-wards"), "all wards' records")
    wards = hits["hospital"][0]
    boys = wards["male"] == 1
    difference = (wards["weight"] * boys).sum() / boys.sum() - (wards["weight"] * ~boys).sum() / (~boys).sum()
    spread, gap = wards["weight"].std().get(), difference.get()
    stage.act(
        "dana", "asks all wards for the spread of weights, and how much heavier boys are: one plan each"
    )
    stage.result(f"standard deviation {float(spread):.3f} kg, boys {1000 * float(gap):.0f} g heavier")
    male = table["male"] == 1
    torch.testing.assert_close(spread, table["weight"].std())
    torch.testing.assert_close(gap, table["weight"][male].mean() - table["weight"][~male].mean())
