"""Counted rules and trainings: a use is taken with what is told, and what ends badly ends."""

import secrets
import time
from typing import Any

import numpy as np
import pytest

from gridward.api import secure_updates
from gridward.api.services.trainings import mark_interrupted
from gridward.api.tables.trainings import Training
from gridward.api.training_store import NOT_STORED
from gridward.core.errors import ConflictError
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import code
from tests.support.trainings import (
    LARGE,
    ROWS,
    Dataset,
    begin,
    body_of,
    finish,
)


def counted(node: NodeUnderTest, dataset: Dataset) -> int:
    path = f"/v1/datasets/{dataset['id']}/rules"
    rules = node.client.get(path, headers=node.as_("bob")).json()["items"]
    return sum(rule["used"] for rule in rules)


@pytest.fixture
def once(ward: NodeUnderTest) -> Dataset:
    """Points that tess may train on once."""
    arrays = {"points": np.ones((ROWS, 4), np.float32), "labels": np.arange(ROWS) % 3}
    access = {"train": [{"who": "tess", "times": 1}]}
    name = f"once-{secrets.token_hex(4)}"
    return publish(ward, ward.as_("bob"), arrays, name=name, access=access, disclosure=LARGE)


def test_a_training_that_fails_before_anything_is_told_gives_its_use_back(
    ward: NodeUnderTest, once: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tess = ward.as_("tess")
    with monkeypatch.context() as patched:
        patched.setattr(ward.node.settings, "training_operations", 1)
        failed = finish(ward, tess, body_of(once, epochs=1))
    assert (failed["state"], failed["history"], counted(ward, once)) == ("failed", [], 0)
    assert finish(ward, tess, body_of(once, epochs=1))["state"] == "done"
    assert counted(ward, once) == 1
    assert code(begin(ward, tess, body_of(once))) == "not_authorized"


def test_a_training_that_diverges_has_told_something_and_keeps_its_use(
    ward: NodeUnderTest, once: Dataset
) -> None:
    tess = ward.as_("tess")
    failed = finish(ward, tess, body_of(once, epochs=1, hyper=[{"input": "lr", "value": 1e38}]))
    assert (failed["state"], counted(ward, once)) == ("failed", 1)


def test_the_record_of_a_run_tells_its_starter_nothing_that_gives_a_use_back(
    ward: NodeUnderTest, once: Dataset
) -> None:
    tess = ward.as_("tess")
    said = begin(ward, tess, body_of(once, epochs=10_000)).json()
    path = f"/v1/trainings/{said['id']}"
    deadline = time.monotonic() + 60
    while not ward.client.get(f"{path}/record", headers=ward.as_("bob")).json()["history"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    record = ward.client.get(f"{path}/record", headers=tess).json()
    assert (record["history"], record["validation"], record["epochs_done"]) == ([], None, 0)
    assert ward.client.delete(path, headers=tess).status_code == 204


def test_a_run_that_is_looked_at_before_it_begins_is_not_taken_for_lost(
    ward: NodeUnderTest, once: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tess, own_id = ward.as_("tess"), f"trn-{secrets.token_hex(12)}"
    seen: list[dict[str, Any]] = []
    plain = secure_updates.ending

    def looked(*args: Any) -> Any:
        seen.append(ward.client.get(f"/v1/trainings/{own_id}", headers=tess).json())
        seen.append(begin(ward, tess, body_of(once, id=own_id)).json())
        return plain(*args)

    monkeypatch.setattr(secure_updates, "ending", looked)
    said = finish(ward, tess, body_of(once, epochs=1, id=own_id))
    assert (seen[0]["state"], said["state"], counted(ward, once)) == ("running", "done", 1)
    assert "status" in seen[1]


def test_a_run_whose_end_cannot_be_stored_fails_and_can_be_forgotten(
    ward: NodeUnderTest, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("gridward.api.parameters.write", full)
    tess = ward.as_("tess")
    said = finish(ward, tess, body_of(digits, epochs=1))
    assert (said["state"], said["detail"]) == ("failed", NOT_STORED)
    with ward.node.database.write() as db:
        training = db.get_one(Training, said["id"])
        training.state = "running"
        db.add(training)
    path = f"/v1/trainings/{said['id']}"
    assert ward.client.get(path, headers=tess).json()["state"] == "failed"
    assert ward.client.delete(path, headers=tess).status_code == 204


@pytest.mark.parametrize("told", [False, True])
def test_a_stop_gives_a_use_back_unless_something_was_told(
    ward: NodeUnderTest, once: Dataset, told: bool
) -> None:
    said = finish(ward, ward.as_("tess"), body_of(once, epochs=1))
    with ward.node.database.write() as db:
        training = db.get_one(Training, said["id"])
        assert training.told
        training.state, training.told = "running", told
        db.add(training)
    mark_interrupted(ward.node)
    assert counted(ward, once) == told
    mark_interrupted(ward.node)
    assert counted(ward, once) == told
    returned = ward.client.get("/v1/audit", params={"action": "return_use"}, headers=ward.as_("bob"))
    assert sum(said["id"] in row["subject"] for row in returned.json()["items"]) == (not told)


def test_a_training_that_cannot_be_written_down_takes_no_use(
    ward: NodeUnderTest, once: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ConflictError("the disk is full")

    monkeypatch.setattr("gridward.api.services.trainings.TrainingSource", breaks)
    assert code(begin(ward, ward.as_("tess"), body_of(once))) == "conflict"
    assert counted(ward, once) == 0


# --- training a hosted model
