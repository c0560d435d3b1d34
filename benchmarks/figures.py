"""`python -m benchmarks.figures docs/figures` draws errors of smooth functions and prints them as JSON."""

import json
import sys
from pathlib import Path

import numpy as np

from gridward.bench.curves import FRACTION_BITS, FUNCTIONS, decades, errors
from gridward.bench.figure import Panel, figure

ROUNDINGS = 2
"""Of the function's result, and of the layer behind it."""


def panel(name: str) -> Panel:
    """Measure one function."""
    smooth = FUNCTIONS[name]
    x, found, truth = errors(name)
    bound = smooth.relative * np.abs(truth) + smooth.absolute + ROUNDINGS * 2.0**-FRACTION_BITS
    return Panel(name, x, np.abs(found - truth), bound)


def main(folder: Path) -> int:
    """Write one figure of all functions, and say what was found by decade."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "smooth-errors.svg").write_text(figure([panel(name) for name in FUNCTIONS]))
    sys.stdout.write(json.dumps({name: decades(name) for name in FUNCTIONS}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
