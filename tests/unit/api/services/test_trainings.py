"""Training on a node: who may, what it gives, what it never gives."""

import secrets
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gridward.api.services.trainings import INTERRUPTED, mark_interrupted
from gridward.api.tables.trainings import Training
from gridward.core import tensors
from gridward.core.plans import codec
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Output, Ref, Role, Step
from gridward.core.plans.trace import trace_module
from gridward.core.schemas.tensor import Tensor
from gridward.core.schemas.uploads import MediaType
from gridward.server.ids import utc_now
from tests.support.files import publish, safetensors, upload
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, code
from tests.support.trainings import (
    LARGE,
    ROWS,
    STEP,
    Dataset,
    begin,
    body_of,
    finish,
    host,
    model,
    parameters,
    query,
    step,
    underway,
)

"""Training on a node: who may, what it gives, what it never gives."""


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
