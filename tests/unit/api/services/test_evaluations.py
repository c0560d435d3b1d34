"""Held-out rows judge parameters as received: by whose rights, over which rows, and how much is told."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gridward.api.tables.datasets import Dataset as DatasetRow
from gridward.api.training_orders import held_out
from gridward.core import tensors
from gridward.core.plans import codec
from gridward.core.plans.ops import Op
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.plan import Output, Ref, Role, Step
from gridward.core.plans.trace import Traced, trace_evaluation, trace_training
from gridward.core.schemas.trainings import TrainingIn
from tests.support.nodes import NodeUnderTest
from tests.support.questions import code
from tests.support.trainings import ROWS, STEP, Dataset, begin, body_of, finish, model, parameters


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
