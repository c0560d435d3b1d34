"""Pages of trainings: who sees which run, and the curves that a run drew."""

from typing import Any

import numpy as np
import pytest

from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.trainings import ROWS, body_of, finish
from tests.support.visitors import Visitor, text_of


@pytest.fixture(scope="module")
def run(ward: NodeUnderTest) -> dict[str, Any]:
    """A finished training of tess on bob's data; tom may see the data, and not the run."""
    arrays = {"points": np.ones((ROWS, 4), np.float32), "labels": np.arange(ROWS) % 3}
    access = {"discover": ["@signed-in"], "train": ["tess", "tom"], "export_model": ["tess"]}
    digits = publish(ward, ward.as_("bob"), arrays, name="digits", access=access)
    finish(ward, ward.as_("tess"), body_of(digits, epochs=1))
    ward.as_("tom")
    return finish(ward, ward.as_("tess"), body_of(digits, epochs=6))


def test_a_run_is_drawn_and_told_in_numbers(ward: NodeUnderTest, run: dict[str, Any]) -> None:
    for name in ("bob", "tess"):
        page = Visitor(ward.client, name).shows(f"/trainings/{run['id']}")
        assert page.count('role="img"') == 3
        said = text_of(page)
        assert "6 of 6" in said
        assert "tess" in said
        for epoch in run["history"]:
            assert f"{epoch['values']['loss']:.6g}" in said


def test_rounds_with_the_same_plan_are_shown_together(ward: NodeUnderTest, run: dict[str, Any]) -> None:
    page = Visitor(ward.client, "tess").shows(f"/trainings/{run['id']}")
    assert page.count('href="/trainings/trn-') == 2
    assert 'id="rounds-title"' in page


def test_the_list_holds_what_one_may_see(ward: NodeUnderTest, run: dict[str, Any]) -> None:
    for name, seen in {"bob": True, "tess": True, "tom": False}.items():
        assert (run["id"] in Visitor(ward.client, name).shows("/trainings")) is seen
    nowhere = Visitor(ward.client, "bob").shows("/trainings?dataset_id=ds-none")
    assert run["id"] not in nowhere


def test_a_hidden_run_and_a_missing_one_are_the_same_page(ward: NodeUnderTest, run: dict[str, Any]) -> None:
    tom = Visitor(ward.client, "tom")
    hidden, missing = tom.get(f"/trainings/{run['id']}"), tom.get("/trainings/trn-missing")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace(run["id"], "trn-missing") == missing.text
