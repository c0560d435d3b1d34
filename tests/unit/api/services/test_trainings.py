"""Training on a node: who may, what it gives, what it never gives."""

import secrets
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gridward.api import secure_updates
from gridward.api.services.trainings import INTERRUPTED, mark_interrupted
from gridward.api.tables.datasets import Dataset as DatasetRow
from gridward.api.tables.trainings import Training
from gridward.api.training_orders import held_out
from gridward.api.training_store import NOT_STORED
from gridward.core import tensors
from gridward.core.errors import ConflictError
from gridward.core.plans import codec
from gridward.core.plans.ops import Op
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.plan import Output, Ref, Role, Step
from gridward.core.plans.trace import Traced, trace_evaluation, trace_module, trace_training
from gridward.core.schemas.tensor import Tensor
from gridward.core.schemas.trainings import TrainingIn
from gridward.core.schemas.uploads import MediaType
from gridward.server.ids import utc_now
from tests.support.files import publish, safetensors, upload
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, code

ROWS = 60
Dataset = dict[str, Any]


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def step(momentum: float = 0.0) -> Traced:
    batch = (torch.randn(4, 4), torch.arange(4) % 3)
    return trace_training(model(), functional.cross_entropy, SGD(0.2, momentum), batch, name="step")


STEP = step()
LARGE = {"residual_degrees": None, "parameter_share": None}


@pytest.fixture(scope="module")
def digits(ward: NodeUnderTest) -> Dataset:
    """Three clouds of points; tess may train and take away, tom may train only."""
    drawn = np.random.default_rng(5)
    labels = np.arange(ROWS) % 3
    points = drawn.normal(0, 0.3, (ROWS, 4)) + np.eye(4)[labels] * 2
    arrays = {"points": points.astype(np.float32), "labels": labels}
    access = {"discover": ["@signed-in"], "train": ["tess", "tom"], "export_model": ["tess"]}
    return publish(ward, ward.as_("bob"), arrays, name="digits", access=access, disclosure=LARGE)


def body_of(dataset: Dataset, traced: Traced = STEP, **fields: Any) -> dict[str, Any]:
    learnt = [tensors.encode(name, value).model_dump() for name, value in traced.parameters.items()]
    hyper = [given.name for given in traced.plan.inputs if given.role == "hyper"]
    return {
        "plan": codec.to_dict(traced.plan),
        "dataset_id": dataset["id"],
        "feeds": [{"input": "x", "tensor": "points"}, {"input": "y", "tensor": "labels"}],
        "parameters": [item for item in learnt if item["name"] not in hyper],
        "hyper": [{"input": name, "value": 0.2} for name in hyper],
        "epochs": 5,
        "batch_size": 20,
    } | fields


def begin(node: NodeUnderTest, headers: Headers, body: dict[str, Any]) -> Any:
    return node.client.post("/v1/trainings", json=body, headers=headers)


def finish(node: NodeUnderTest, headers: Headers, body: dict[str, Any]) -> dict[str, Any]:
    """Start a training and wait for its end."""
    started = begin(node, headers, body)
    assert started.status_code == 201, started.text
    said: dict[str, Any] = started.json()
    deadline = time.monotonic() + 60
    while said["state"] == "running":
        assert time.monotonic() < deadline
        path = f"/v1/trainings/{said['id']}"
        said = node.client.get(path, params={"wait_s": 20}, headers=headers).json()
    return said


def underway(node: NodeUnderTest, headers: Headers, body: dict[str, Any]) -> str:
    """Start a training and wait for its first epoch; gives its path."""
    path = f"/v1/trainings/{begin(node, headers, body).json()['id']}"
    deadline = time.monotonic() + 120
    while not node.client.get(path, params={"wait_s": 5}, headers=headers).json()["epochs_done"]:
        assert time.monotonic() < deadline
    return path


def parameters(said: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {item["name"]: tensors.decode(Tensor.model_validate(item)) for item in said["parameters"]}


def test_a_training_learns_and_its_history_is_told(ward: NodeUnderTest, digits: Dataset) -> None:
    said = finish(ward, ward.as_("tess"), body_of(digits, epochs=15))
    assert (said["state"], said["rows"], said["epochs_done"], said["detail"]) == ("done", ROWS, 15, "")
    losses = [item["values"]["loss"] for item in said["history"]]
    assert losses[-1] < losses[0] / 2
    assert said["history"][-1]["values"]["correct"] > 0.9
    assert 0 <= said["history"][0]["values"]["correct"] <= 1
    trained = model()
    trained.load_state_dict(parameters(said))
    again = finish(ward, ward.as_("tess"), body_of(digits, epochs=15))
    assert all(torch.equal(value, parameters(again)[name]) for name, value in parameters(said).items())


def test_the_order_of_rows_follows_the_seed_and_a_secret_of_the_node(
    ward: NodeUnderTest, digits: Dataset
) -> None:
    tess = ward.as_("tess")
    one, other = (parameters(finish(ward, tess, body_of(digits, epochs=1, seed=seed))) for seed in (1, 2))
    assert not torch.equal(one["0.weight"], other["0.weight"])


def test_who_may_train_need_not_be_who_may_take_the_model(ward: NodeUnderTest, digits: Dataset) -> None:
    said = finish(ward, ward.as_("tom"), body_of(digits))
    assert said["state"] == "done"
    assert len(said["history"]) == 5
    assert said["parameters"] == []
    values = [value for item in said["history"] for value in item["values"].values()]
    assert all(value == float(f"{value:.3g}") for value in values)
    full = finish(ward, ward.as_("tess"), body_of(digits))["history"]
    assert any(item["values"]["loss"] != float(f"{item['values']['loss']:.3g}") for item in full)


def test_metrics_are_no_way_around_the_right_to_export(ward: NodeUnderTest, digits: Dataset) -> None:
    taps = [
        Step(
            Op.SELECT_INT,
            (Ref(next(o.ref for o in STEP.plan.outputs if o.name == "0.bias")), 0, at),
            (f"m{at}",),
        )
        for at in range(8)
    ]
    outputs = (*STEP.plan.outputs, *(Output(f"m{at}", Role.METRIC, f"m{at}") for at in range(8)))
    plan = replace(STEP.plan, steps=(*STEP.plan.steps, *taps), outputs=outputs)
    order = body_of(digits, epochs=1) | {"plan": codec.to_dict(plan)}
    refused = begin(ward, ward.as_("tom"), order)
    assert code(refused) == "plan_rejected"
    assert "8" in refused.json()["detail"] or "9" in refused.json()["detail"]
    assert finish(ward, ward.as_("tess"), order)["state"] == "done"


@pytest.mark.parametrize(
    ("user", "role", "outcome"),
    [
        ("dana", "data_scientist", "not_authorized"),
        ("olga", "data_officer", "not_authorized"),
        ("gus", "guest", "not_authorized"),
        ("carl", "compliance_officer", "not_authorized"),
    ],
)
def test_who_may_not_train_is_refused(
    ward: NodeUnderTest, digits: Dataset, user: str, role: str, outcome: str
) -> None:
    assert code(begin(ward, ward.as_(user, role), body_of(digits))) == outcome


def test_a_hidden_dataset_looks_like_none(ward: NodeUnderTest) -> None:
    arrays = {"points": np.zeros((20, 4), np.float32), "labels": np.zeros(20, np.int64)}
    hidden = publish(ward, ward.as_("bob"), arrays, name="hidden-digits")
    assert code(begin(ward, ward.as_("tess"), body_of(hidden))) == "object_not_found"


def test_a_run_is_its_starters_own(ward: NodeUnderTest, digits: Dataset) -> None:
    said = finish(ward, ward.as_("tess"), body_of(digits, epochs=1))
    for other in ("bob", "tom"):
        answer = ward.client.get(f"/v1/trainings/{said['id']}", headers=ward.as_(other))
        assert code(answer) == "object_not_found"
    assert ward.client.delete(f"/v1/trainings/{said['id']}", headers=ward.as_("tess")).status_code == 204
    gone = ward.client.get(f"/v1/trainings/{said['id']}", headers=ward.as_("tess"))
    assert code(gone) == "object_not_found"


def test_who_starts_a_run_may_draw_its_id_once(ward: NodeUnderTest, digits: Dataset) -> None:
    drawn = f"trn-{secrets.token_hex(12)}"
    assert begin(ward, ward.as_("tess"), body_of(digits, epochs=1, id=drawn)).json()["id"] == drawn
    for user in ("tess", "tom"):
        assert code(begin(ward, ward.as_(user), body_of(digits, epochs=1, id=drawn))) == "conflict"
    assert begin(ward, ward.as_("tess"), body_of(digits, id="../x")).status_code == 422
    assert ward.client.get(f"/v1/trainings/{drawn}", headers=ward.as_("tess")).json()["id"] == drawn


def listed(node: NodeUnderTest, headers: Headers, **query: Any) -> list[dict[str, Any]]:
    answer = node.client.get("/v1/trainings", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_who_answers_for_the_data_sees_who_trained_on_it_even_after_the_starter_forgot(
    ward: NodeUnderTest, digits: Dataset
) -> None:
    tess, tom, bob = ward.as_("tess"), ward.as_("tom"), ward.as_("bob")
    said = finish(ward, tess, body_of(digits, epochs=2))
    assert [one["id"] for one in listed(ward, tess, limit=1)] == [said["id"]]
    assert said["id"] not in [one["id"] for one in listed(ward, tom)]
    path = f"/v1/trainings/{said['id']}"
    assert code(ward.client.get(f"{path}/record", headers=tom)) == "object_not_found"
    assert ward.client.delete(path, headers=tess).status_code == 204
    assert code(ward.client.get(path, headers=tess)) == "object_not_found"
    assert code(ward.client.get(f"{path}/record", headers=tess)) == "object_not_found"
    kept = ward.client.get(f"{path}/record", headers=bob).json()
    assert (kept["started_by"], kept["dataset_name"], kept["forgotten"]) == ("tess", "digits", True)
    assert kept["history"] == said["history"]
    assert "parameters" not in kept
    alike = {"dataset_id": digits["id"], "plan_digest": kept["plan_digest"], "started_by": "tess"}
    assert said["id"] in [one["id"] for one in listed(ward, bob, **alike)]
    assert listed(ward, bob, **(alike | {"started_by": "nobody"})) == []


def test_a_publisher_sees_trainings_on_own_data_and_no_others(ward: NodeUnderTest, digits: Dataset) -> None:
    cleo = ward.as_("cleo", "data_officer")
    arrays = {"points": np.ones((ROWS, 4), np.float32), "labels": np.arange(ROWS) % 3}
    own = publish(ward, cleo, arrays, name="own", access={"train": ["tom"]})
    said = finish(ward, ward.as_("tom"), body_of(own, epochs=1))
    finish(ward, ward.as_("tom"), body_of(digits, epochs=1))
    assert [one["id"] for one in listed(ward, cleo)] == [said["id"]]
    exact = listed(ward, cleo)[0]["history"][0]["values"]["loss"]
    coarse = listed(ward, ward.as_("tom"), dataset_id=own["id"])[0]["history"][0]["values"]["loss"]
    assert exact != coarse == float(f"{exact:.3g}")


def test_who_may_export_but_not_this_model_sees_coarse_metrics_in_the_record_too(ward: NodeUnderTest) -> None:
    arrays = {"points": np.ones((ROWS, 4), np.float32), "labels": np.arange(ROWS) % 3}
    access, strict = {"train": ["tom"], "export_model": ["tom"]}, {"parameter_share": 0.01}
    own = publish(
        ward, ward.as_("cleo", "data_officer"), arrays, name="strict", access=access, disclosure=strict
    )
    said = finish(ward, ward.as_("tom"), body_of(own, epochs=1))
    assert said["parameters"] == []
    (record,) = listed(ward, ward.as_("tom"), dataset_id=own["id"])
    exact = listed(ward, ward.as_("cleo"), dataset_id=own["id"])[0]["history"][0]["values"]["loss"]
    assert exact != record["history"][0]["values"]["loss"] == float(f"{exact:.3g}")


def test_a_plan_that_carries_a_row_away_is_refused_by_step(ward: NodeUnderTest, digits: Dataset) -> None:
    theft = Step(Op.SELECT_INT, (Ref("x"), 0, 0), ("row",))
    stretch = Step(Op.CAT, ((Ref("row"), Ref("row")), 0), ("stolen",))
    outputs = tuple(replace(out, ref="stolen") if out.name == "0.bias" else out for out in STEP.plan.outputs)
    plan = replace(STEP.plan, steps=(*STEP.plan.steps, theft, stretch), outputs=outputs)
    answer = begin(ward, ward.as_("tess"), body_of(digits) | {"plan": codec.to_dict(plan)})
    assert code(answer) == "plan_rejected"
    assert "aten.select.int" in answer.json()["detail"]


def test_batches_hold_at_least_what_the_owner_wants(ward: NodeUnderTest, digits: Dataset) -> None:
    assert code(begin(ward, ward.as_("tess"), body_of(digits, batch_size=9))) == "result_suppressed"
    assert finish(ward, ward.as_("tess"), body_of(digits, batch_size=25, epochs=1))["state"] == "done"


def test_a_training_that_diverges_fails_with_the_reason(ward: NodeUnderTest, digits: Dataset) -> None:
    hyper = [{"input": "lr", "value": 1e30}]
    said = finish(ward, ward.as_("tess"), body_of(digits, hyper=hyper))
    assert said["state"] == "failed"
    assert "diverged" in said["detail"]
    assert said["parameters"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"feeds": [{"input": "x", "tensor": "points"}]},
        {"feeds": [{"input": "x", "tensor": "labels"}, {"input": "y", "tensor": "points"}]},
        {"parameters": []},
        {"hyper": []},
        {"plan": codec.to_dict(trace_module(model(), (torch.zeros(2, 4),), name="m").plan)},
    ],
    ids=["feed missing", "feeds swapped", "no parameters", "no learning rate", "no training plan"],
)
def test_a_malformed_order_is_refused_before_anything_runs(
    ward: NodeUnderTest, digits: Dataset, wrong: dict[str, Any]
) -> None:
    assert code(begin(ward, ward.as_("tess"), body_of(digits) | wrong)) == "invalid_input"


def test_too_many_trainings_are_told_to_come_back(ward: NodeUnderTest, digits: Dataset) -> None:
    held = 0
    try:
        while ward.node.trainings.admission.take_if_free():
            held += 1
        answer = begin(ward, ward.as_("tess"), body_of(digits))
        assert code(answer) == "busy"
        assert int(answer.headers["Retry-After"]) >= 1
    finally:
        for _ in range(held):
            ward.node.trainings.admission.give_back()
    assert finish(ward, ward.as_("tess"), body_of(digits, epochs=1))["state"] == "done"


def test_a_run_is_cancelled_by_forgetting_it(ward: NodeUnderTest, digits: Dataset) -> None:
    tess = ward.as_("tess")
    said = begin(ward, tess, body_of(digits, epochs=10_000)).json()
    assert ward.client.delete(f"/v1/trainings/{said['id']}", headers=ward.as_("tom")).status_code == 404
    assert ward.client.delete(f"/v1/trainings/{said['id']}", headers=tess).status_code == 204
    assert ward.client.get(f"/v1/trainings/{said['id']}", headers=tess).status_code == 404
    path, deadline = f"/v1/trainings/{said['id']}/record", time.monotonic() + 60
    while (record := ward.client.get(path, headers=ward.as_("bob")).json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (record["state"], record["detail"]) == ("failed", "whoever started it cancelled it")
    assert record["epochs_done"] < 10_000


def test_a_training_whose_worker_is_killed_fails_with_the_reason_and_the_next_one_runs(
    ward: NodeUnderTest, digits: Dataset
) -> None:
    tess = ward.as_("tess")
    path = underway(ward, tess, body_of(digits, epochs=10_000))
    (worker,) = ward.node.workers._pools["trainings"]._busy
    worker._process.kill()
    after = ward.client.get(path, headers=tess).json()
    deadline = time.monotonic() + 60
    while after["state"] == "running":
        assert time.monotonic() < deadline
        after = ward.client.get(path, params={"wait_s": 5}, headers=tess).json()
    assert (after["state"], after["parameters"]) == ("failed", [])
    assert "ended by the system, most likely for its memory" in after["detail"]
    assert finish(ward, tess, body_of(digits, epochs=1))["state"] == "done"


def test_data_that_is_deleted_while_a_training_maps_it_does_not_disturb_it(ward: NodeUnderTest) -> None:
    tess, bob = ward.as_("tess"), ward.as_("bob")
    arrays = {"points": np.ones((ROWS, 4), np.float32), "labels": np.arange(ROWS) % 3}
    shared = publish(ward, bob, arrays, name="fleeting", access={"train": ["tess"]}, disclosure=LARGE)
    path = underway(ward, tess, body_of(shared, epochs=400))
    assert ward.client.delete(f"/v1/datasets/{shared['id']}", headers=bob).status_code == 204
    deadline = time.monotonic() + 60
    while (after := ward.client.get(path, params={"wait_s": 5}, headers=tess).json())["state"] == "running":
        assert time.monotonic() < deadline
    assert (after["state"], after["epochs_done"]) == ("done", 400)


def test_a_stop_during_training_is_told_as_a_failure(ward: NodeUnderTest, digits: Dataset) -> None:
    tess = ward.as_("tess")
    said = finish(ward, tess, body_of(digits, epochs=1))
    with ward.node.database.write() as db:
        training = db.get_one(Training, said["id"])
        training.state, training.blob = "running", None
        db.add(training)
    mark_interrupted(ward.node)
    after = ward.client.get(f"/v1/trainings/{said['id']}", headers=tess).json()
    assert (after["state"], after["detail"]) == ("failed", INTERRUPTED)
    assert after["created_at"] < utc_now().isoformat()


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


def test_two_fractions_held_out_by_one_seed_do_not_differ_by_single_rows(ward: NodeUnderTest) -> None:
    dataset = DatasetRow(
        id="ds-1", name="n", version=1, rows=1000, user_id="u", published_by="bob", blob="", tensors=[]
    )
    drawn = [held(ward, dataset, holdout) for holdout in (0.1, 0.101, 0.1)]
    assert drawn[0] == drawn[2]
    assert len(drawn[1] - drawn[0]) > 1


def held(node: NodeUnderTest, dataset: DatasetRow, holdout: float) -> set[int]:
    plan = codec.to_dict(examined().plan)
    body = TrainingIn.model_validate(
        {
            "dataset_id": dataset.id,
            "feeds": [{"input": "x", "tensor": "points"}],
            "epochs": 0,
            "evaluation": {"plan": plan, "holdout": holdout},
        }
    )
    rows = held_out(node.node, dataset, body)
    assert rows is not None
    return set(rows.tolist())


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


def host(node: NodeUnderTest, headers: Headers, model_id: str, **access: list[str]) -> None:
    traced = trace_module(model(), (torch.zeros(2, 4),), name="points")
    content = safetensors({name: value.numpy() for name, value in traced.parameters.items()})
    upload_id = upload(node, headers, content, MediaType.SAFETENSORS)
    body = {"id": model_id, "plan": codec.to_dict(traced.plan), "upload_id": upload_id, "access": access}
    answer = node.client.post("/v1/models", json=body, headers=headers)
    assert answer.status_code == 201, answer.text


def query(node: NodeUnderTest, headers: Headers, model_id: str) -> Any:
    data = trace_module(model(), (torch.zeros(2, 4),), name="points").plan.inputs[-1].name
    body = {"inputs": [tensors.encode(data, torch.eye(4)[:3] * 2).model_dump()]}
    return node.client.post(f"/v1/models/{model_id}/inference", json=body, headers=headers)


def test_a_trained_model_is_a_new_version_that_carries_its_datasets(
    ward: NodeUnderTest, digits: Dataset
) -> None:
    tess = ward.as_("tess")
    host(ward, tess, "points", infer=["dana"])
    traced = step(momentum=0.9)
    names = set(model().state_dict())
    learnt = [item for item in body_of(digits, traced)["parameters"] if item["name"] not in names]
    order = body_of(digits, traced, model_id="points", parameters=learnt)
    said = finish(ward, tess, order)
    assert (said["state"], said["parameters"]) == ("done", [])
    seen = ward.client.get("/v1/models/points", headers=tess).json()
    assert (seen["version"], seen["trained_on"]) == (2, [f"{digits['id']}@1"])
    answer = query(ward, ward.as_("dana"), "points").json()
    scores = tensors.decode(Tensor.model_validate(answer["outputs"][0]))
    assert scores.argmax(1).tolist() == [0, 1, 2]
    got = ward.client.get("/v1/models/points/parameters", headers=tess)
    assert got.json()["version"] == 2
    assert finish(ward, tess, order)["state"] == "done"


def test_a_model_gives_away_no_more_than_its_host_may(ward: NodeUnderTest, digits: Dataset) -> None:
    tom = ward.as_("tom")
    host(ward, tom, "toms", infer=["@signed-in"], download=["@signed-in"])
    assert query(ward, ward.as_("dana"), "toms").status_code == 200
    assert finish(ward, tom, body_of(digits, model_id="toms", parameters=[]))["state"] == "done"
    for user in ("tom", "dana", "tess"):
        assert code(query(ward, ward.as_(user), "toms")) == "get_not_permitted"
        for what in ("parameters", "content"):
            got = ward.client.get(f"/v1/models/toms/{what}", headers=ward.as_(user))
            assert code(got) == "get_not_permitted"
    change = {"access": digits["access"] | {"export_model": ["tess", "tom"]}}
    path = f"/v1/datasets/{digits['id']}"
    assert ward.client.patch(path, json=change, headers=ward.as_("bob")).status_code == 200
    assert query(ward, ward.as_("dana"), "toms").status_code == 200
    assert ward.client.patch(path, json={"access": digits["access"]}, headers=ward.as_("bob")).is_success


def test_nobody_trains_anothers_model(ward: NodeUnderTest, digits: Dataset) -> None:
    host(ward, ward.as_("carol"), "carols", discover=["tess"])
    order = body_of(digits, model_id="carols", parameters=[])
    assert code(begin(ward, ward.as_("tess"), order)) == "not_authorized"
    assert code(begin(ward, ward.as_("tom"), order)) == "object_not_found"


def test_a_model_that_changed_meanwhile_is_not_overwritten(ward: NodeUnderTest, digits: Dataset) -> None:
    tess = ward.as_("tess")
    host(ward, tess, "moving")
    started = begin(ward, tess, body_of(digits, model_id="moving", parameters=[], epochs=300)).json()
    content = safetensors({name: value.numpy() for name, value in model().state_dict().items()})
    body = {"upload_id": upload(ward, tess, content, MediaType.SAFETENSORS)}
    assert ward.client.put("/v1/models/moving/parameters", json=body, headers=tess).json()["version"] == 2
    said = started
    while said["state"] == "running":
        path = f"/v1/trainings/{started['id']}"
        said = ward.client.get(path, params={"wait_s": 20}, headers=tess).json()
    assert said["state"] == "failed"
    assert "changed while it was trained" in said["detail"]
    assert ward.client.get("/v1/models/moving", headers=tess).json()["version"] == 2


def test_a_node_on_any_database_trains(node: NodeUnderTest) -> None:
    arrays = {"points": np.eye(4, dtype=np.float32)[np.arange(30) % 3], "labels": np.arange(30) % 3}
    access = {"train": ["tess"], "export_model": ["tess"]}
    data = publish(node, node.as_("bob"), arrays, name="digits", access=access, disclosure=LARGE)
    said = finish(node, node.as_("tess"), body_of(data, epochs=2))
    assert (said["state"], said["epochs_done"]) == ("done", 2)
    assert set(parameters(said)) == set(model().state_dict())


def examined(**metrics: Any) -> Traced:
    batch = (torch.randn(4, 4), torch.arange(4) % 3)
    return trace_evaluation(model(), functional.cross_entropy, batch, name="exam", metrics=metrics)


def evaluation(holdout: float, **fields: Any) -> dict[str, Any]:
    return {"evaluation": {"plan": codec.to_dict(examined().plan), "holdout": holdout} | fields}


def test_an_evaluation_alone_judges_all_rows_as_torch_does(ward: NodeUnderTest, digits: Dataset) -> None:
    order = body_of(digits, epochs=0) | evaluation(0)
    del order["plan"]
    said = finish(ward, ward.as_("bob"), order)
    assert (said["state"], said["rows"], said["validation_rows"], said["history"]) == ("done", 0, ROWS, [])
    assert said["parameters"] == []
    drawn = np.random.default_rng(5)
    labels = np.arange(ROWS) % 3
    points = (drawn.normal(0, 0.3, (ROWS, 4)) + np.eye(4)[labels] * 2).astype(np.float32)
    with torch.no_grad():
        output, targets = model()(torch.from_numpy(points)), torch.from_numpy(labels)
    assert said["validation"] == pytest.approx(
        {
            "loss": float(functional.cross_entropy(output, targets)),
            "accuracy": float((output.argmax(1) == targets).float().mean()),
        },
        rel=1e-5,
    )


def test_held_out_rows_judge_what_was_received_and_no_step_sees_them(
    ward: NodeUnderTest, digits: Dataset
) -> None:
    tess = ward.as_("tess")
    before = finish(ward, tess, body_of(digits, epochs=0) | evaluation(0.4))
    said = finish(ward, tess, body_of(digits) | evaluation(0.4))
    assert (said["rows"], said["validation_rows"]) == (36, 24)
    assert said["validation"] == before["validation"]
    other = finish(ward, tess, body_of(digits, epochs=0) | evaluation(0.4, holdout_seed=1))
    assert other["validation"] != before["validation"]
    after = body_of(digits, epochs=0) | evaluation(0.4) | {"parameters": said["parameters"]}
    assert finish(ward, tess, after)["validation"]["loss"] < said["validation"]["loss"]
    record = ward.client.get(f"/v1/trainings/{said['id']}/record", headers=ward.as_("bob")).json()
    assert (record["validation"], record["validation_rows"]) == (said["validation"], 24)


def test_an_evaluation_tells_no_more_than_a_training_may(ward: NodeUnderTest, digits: Dataset) -> None:
    tom, tess = ward.as_("tom"), ward.as_("tess")
    only = body_of(digits, epochs=0) | evaluation(0)
    coarse, full = (finish(ward, who, only)["validation"] for who in (tom, tess))
    assert coarse == {name: float(f"{value:.3g}") for name, value in full.items()} != full
    many = examined(**{f"m{at}": functional.cross_entropy for at in range(4)})
    order = body_of(digits, epochs=0) | {"evaluation": {"plan": codec.to_dict(many.plan)}}
    assert code(begin(ward, tom, order)) == "plan_rejected"
    assert len(finish(ward, tess, order)["validation"]) == 6
    peek = Step(Op.SELECT_INT, (Ref("x"), 0, 0), ("row",))
    plan = examined().plan
    tapped = replace(
        plan, steps=(*plan.steps, peek), outputs=(*plan.outputs, Output("row", Role.METRIC, "row"))
    )
    order["evaluation"] = {"plan": codec.to_dict(tapped)}
    refused = begin(ward, tess, order)
    assert code(refused) == "plan_rejected"
    assert "aten.select.int" in refused.json()["detail"]


def test_too_few_held_out_rows_are_not_judged(ward: NodeUnderTest, digits: Dataset) -> None:
    assert code(begin(ward, ward.as_("tess"), body_of(digits) | evaluation(0.1))) == "result_suppressed"
    assert code(begin(ward, ward.as_("tess"), body_of(digits) | evaluation(0.001))) == "result_suppressed"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": 0}, "0 epochs need an evaluation"),
        ({"plan": None}, "a training needs a plan"),
        ({"epochs": 1} | evaluation(0), "needs a holdout above 0"),
        (evaluation(0.6), "less than or equal to 0.5"),
        ({"epochs": 0, "evaluation": {"plan": codec.to_dict(STEP.plan)}}, "not for evaluation"),
        ({"plan": codec.to_dict(examined().plan)}, "not for training"),
        ({"epochs": 0, "parameters": []} | evaluation(0), "0.bias is missing"),
    ],
)
def test_an_evaluation_that_makes_no_sense_is_refused(
    ward: NodeUnderTest, digits: Dataset, fields: dict[str, Any], words: str
) -> None:
    refused = begin(ward, ward.as_("tess"), body_of(digits) | fields)
    assert refused.status_code == 422
    assert words in refused.text


def test_an_evaluation_that_is_not_finite_fails_with_the_reason(ward: NodeUnderTest, digits: Dataset) -> None:
    order = body_of(digits, epochs=0) | evaluation(0)
    endless = {name: value * float("inf") for name, value in model().state_dict().items()}
    order["parameters"] = [tensors.encode(name, value).model_dump() for name, value in endless.items()]
    said = finish(ward, ward.as_("tess"), order)
    assert (said["state"], said["validation"]) == ("failed", None)
    assert "as received" in said["detail"]


def test_batch_norm_and_dropout_are_trained_and_what_was_held_out_judges_in_eval_mode(
    ward: NodeUnderTest, digits: Dataset
) -> None:
    torch.manual_seed(2)
    deep = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    batch = (torch.randn(4, 4), torch.arange(4) % 3)
    traced = trace_training(deep, functional.cross_entropy, SGD(0.2), batch, name="deep")
    exam = trace_evaluation(deep, functional.cross_entropy, batch, name="exam")
    judged = {"evaluation": {"plan": codec.to_dict(exam.plan), "holdout": 0.4}}
    order = body_of(digits, traced, epochs=20) | judged
    said = finish(ward, ward.as_("tess"), order)
    assert said["state"] == "done", said["detail"]
    found = parameters(said)
    assert int(found["1.num_batches_tracked"]) == sum(item["steps"] for item in said["history"])
    assert bool(found["1.running_mean"].any())
    after = finish(ward, ward.as_("tess"), order | {"epochs": 0, "parameters": said["parameters"]})
    assert after["validation"]["accuracy"] > 0.9
    assert after["validation"]["loss"] < said["validation"]["loss"]
    again = finish(ward, ward.as_("tess"), order)
    assert all(torch.equal(value, parameters(again)[name]) for name, value in found.items())
