import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gridward.bench.curves import END, FRACTION_BITS, FUNCTIONS, decades, errors
from gridward.bench.figure import Panel, figure


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_keep_the_bounds_that_are_drawn(name: str) -> None:
    smooth = FUNCTIONS[name]
    x, found, truth = errors(name)
    assert x[-1] == END - 2.0**-FRACTION_BITS
    assert (x[0] == -x[-1]) == (smooth.least < 0)
    bound = smooth.relative * np.abs(truth) + smooth.absolute + 2 * 2.0**-FRACTION_BITS
    assert np.all(np.abs(found - truth) <= bound)


def test_decades_cover_both_signs() -> None:
    rows = decades("tanh")
    assert len(rows) == 20
    assert {np.sign(row["from"]) for row in rows} == {-1, 1}
    assert all(0 <= row["mean_absolute"] <= row["largest_absolute"] < 1e-4 for row in rows)


def test_a_figure_has_a_panel_of_three_lines_for_each_function_and_sign() -> None:
    x = np.array([-10.0, -0.1, 0.1, 10.0])
    panels = [Panel(name, x, np.full(4, 1e-5), np.full(4, 1e-4)) for name in ("one", "two")]
    one_sided = Panel("three", x[2:], np.full(2, 0.0), np.full(2, 1e-4))
    root = ElementTree.fromstring(figure([*panels, one_sided]))
    space = "{http://www.w3.org/2000/svg}"
    assert [next(panel.iter(f"{space}text")).text for panel in root.findall(f"{space}g")] == [
        "one",
        "two",
        "three",
    ]
    assert [len(panel.findall(f"{space}polyline")) for panel in root.findall(f"{space}g")] == [6, 6, 3]
