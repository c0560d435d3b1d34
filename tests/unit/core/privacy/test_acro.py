"""Our verdicts beside those of acro, the checker of outputs that was asked once (``tests/vectors``)."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from gridward.core.plans.executors.tally import tally
from gridward.core.plans.tallies import Tally, TallyKind
from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.decision import Answer, Grant
from gridward.core.privacy.disclosure import Contributed, Evidence, Thresholds
from gridward.core.privacy.policy import decide

SAID: Final = json.loads((Path(__file__).parents[3] / "vectors" / "acro.json").read_text())
ADDED: Final = [cell for cell in SAID["cells"] if cell["aggregate"] != "count"]
COUNTED: Final = [cell for cell in SAID["cells"] if cell["aggregate"] == "count"]
#: Where we answer differently, and why.
OTHERWISE: Final = {
    "two are exactly nine tenths": "acro wants less than nine tenths, we nine tenths at most",
    "zeros beside few": "acro counts those who contribute zero, we do not: five are behind the sum",
    "all zero": "acro finds a ratio to nothing too small; with us nobody is behind a zero",
    "a small negative one": "acro leaves both signs to a person, we add up absolute values",
}


def ours(cell: dict[str, Any]) -> Answer:
    """What we answer to a sum of one row for each person."""
    values = cell["values"] if cell["aggregate"] != "count" else [1.0] * len(cell["values"])
    one = Tally("t", TallyKind.SUM, "d@1", ("x",), -1, (-1,))
    found = tally([one], {"x": torch.tensor(values, dtype=torch.float64)}, {})["t"].tolist()
    grant = Grant("d@1", "d", frozenset({"compute"}), len(values), 10, entities=len(values))
    evidence = Evidence([Contributed("d@1", *found)])
    return decide({"y": Finding(Level.AGGREGATE)}, [grant], [], finite=True, evidence=evidence).answer


@pytest.mark.parametrize("cell", ADDED, ids=lambda cell: f"{cell['aggregate']} {cell['name']}")
def test_a_sum_or_mean_is_suppressed_iff_acro_fails_it(cell: dict[str, Any]) -> None:
    agrees = (ours(cell) is Answer.SUPPRESSED) == bool(cell["checks"])
    assert agrees == (cell["name"] not in OTHERWISE)


@pytest.mark.parametrize("cell", COUNTED, ids=lambda cell: str(cell["name"]))
def test_a_count_is_suppressed_iff_acro_fails_it(cell: dict[str, Any]) -> None:
    assert (ours(cell) is Answer.SUPPRESSED) == bool(cell["checks"])


@pytest.mark.parametrize("model", SAID["models"], ids=str)
def test_a_regression_that_acro_fails_we_fail_and_more_that_have_many_parameters(
    model: dict[str, Any],
) -> None:
    entities, parameters = model["entities"], model["parameters"]
    degrees = Thresholds(parameter_share=None)
    assert degrees.overfits(parameters, entities) == (model["status"] == "fail")
    assert Thresholds().overfits(parameters, entities) == (
        model["status"] == "fail" or parameters > 0.33 * entities
    )


def test_every_check_of_ours_was_put_to_acro() -> None:
    failed = {check for cell in SAID["cells"] for check in cell["checks"]}
    assert failed >= {"MinimumThresholdCheck", "NKCheck", "PPercentCheck", "review"}
    assert OTHERWISE.keys() <= {cell["name"] for cell in SAID["cells"]}
