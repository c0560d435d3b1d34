"""Writes ``acro.json``: what acro says of single cells of tables and of regressions.

acro (https://pypi.org/project/acro) is no dependency of anything here; this was run in an environment of its
own, `pip install acro`, then `python tests/vectors/record_acro.py tests/vectors/acro.json`.
"""

import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

DRAWN: Final = 24
EVEN: Final = [float(value) for value in range(20, 32)]
CELLS: Final[dict[str, list[float]]] = {
    "even": EVEN,
    "ten": EVEN[:10],
    "nine": EVEN[:9],
    "one is nearly all": [1000.0] + [1.0] * 11,
    "two are nearly all": [500.0, 400.0] + [4.0] * 11,
    "two are exactly nine tenths": [50.0, 40.0] + [1.0] * 10,
    "two are a little more than nine tenths": [50.0, 40.5] + [1.0] * 10,
    "the rest is a little less than a tenth of the largest": [101.0, 0.5] + [0.5] * 20,
    "the rest is a tenth of the largest": [100.0, 0.5] + [0.5] * 20,
    "two large ones of the same size": [200.0, 200.0] + [2.0] * 15,
    "a third large one": [200.0, 200.0, 200.0] + [2.0] * 15,
    "zeros beside enough": [0.0] * 3 + EVEN,
    "zeros beside few": [0.0] * 10 + EVEN[:5],
    "all zero": [0.0] * 12,
    "all the same": [7.0] * 12,
    "a small negative one": [-1.0, *EVEN],
    "large of both signs": [1000.0, -1000.0] + [1.0] * 10,
}
MODELS: Final = [(40, 3), (40, 13), (40, 20), (40, 29), (40, 30), (40, 31), (13, 3), (12, 3), (100, 34)]


def main(target: Path) -> None:
    """Ask acro about every case and write its words down."""
    logging.disable(logging.CRITICAL)
    acro = importlib.import_module("acro")
    session = acro.ACRO(suppress=False)
    drawn = np.random.default_rng(7)
    cells = CELLS | {
        f"drawn {at}": np.round(drawn.lognormal(3, 1 + at % 6, int(drawn.integers(8, 30))), 3).tolist()
        for at in range(DRAWN)
    }
    said = {
        "acro": importlib.import_module("acro.version").__version__,
        "cells": [
            {
                "name": name,
                "aggregate": aggregate,
                "values": values,
                "checks": _cell(session, values, aggregate),
            }
            for name, values in cells.items()
            for aggregate in ("sum", "mean", "count")
        ],
        "models": [
            {"entities": entities, "parameters": count, "status": _model(session, drawn, entities, count)}
            for entities, count in MODELS
        ],
    }
    target.write_text(json.dumps(said) + "\n")


def _cell(session: Any, values: list[float], aggregate: str) -> list[str]:
    """Names of the checks that fail for a table of one cell, and "review" where acro decides nothing."""
    pandas = importlib.import_module("pandas")
    rows = pandas.DataFrame({"group": ["a"] * len(values), "all": 1, "x": values})
    more = {} if aggregate == "count" else {"values": rows.x, "aggfunc": aggregate}
    session.crosstab(rows.group, rows["all"], **more)
    record = _last(session)
    words = [word for text in record.outcome.to_numpy().ravel() for word in str(text).split("; ")]
    failed = sorted({word.strip("; ") for word in words} - {"", "ok"})
    return [*failed, "review"] if record.status == "review" else failed


def _model(session: Any, drawn: np.random.Generator, entities: int, parameters: int) -> str:
    session.ols(drawn.normal(size=entities), drawn.normal(size=(entities, parameters)))
    return str(_last(session).status)


def _last(session: Any) -> Any:
    return list(session.results.results.values())[-1]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
