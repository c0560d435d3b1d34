"""What leaves a node through a computation, and what does not."""

import base64
import copy
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from sqlmodel import select

from gridward.api.tables.accounts import AuditEntry
from gridward.core.plans import codec
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Dim, DimRange, DType, Input, Kind, Output, Plan, Ref, Role, Step
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import ask, code, column, kept, question, values

Dataset = dict[str, Any]


def last_audit(node: NodeUnderTest, action: str) -> AuditEntry:
    with node.node.database.read() as db:
        rows = db.exec(select(AuditEntry).where(AuditEntry.action == action)).all()
    return rows[-1]


def real(node: NodeUnderTest, births: Dataset, name: str) -> torch.Tensor:
    return values(ask(node, node.as_("bob"), column(births, name)))[0]


def test_a_scientist_gets_averages_and_they_are_right(ward: NodeUnderTest, births: Dataset) -> None:
    weight, height = column(births, "weight"), column(births, "height")
    mean, var, product = values(
        ask(ward, ward.as_("dana"), weight.mean(), height.var(), (weight * height).sum())
    )
    w, h = real(ward, births, "weight"), real(ward, births, "height")
    torch.testing.assert_close(mean, w.mean())
    torch.testing.assert_close(var, h.var())
    torch.testing.assert_close(product, (w * h).sum())


@pytest.mark.parametrize(
    ("user", "role", "outcome"),
    [
        ("bob", "owner", None),
        ("ana", "data_scientist", None),
        ("dana", "data_scientist", "get_not_permitted"),
        ("olga", "data_officer", "get_not_permitted"),
        ("adam", "admin", "get_not_permitted"),
        ("carl", "compliance_officer", "get_not_permitted"),
        ("gus", "guest", "get_not_permitted"),
    ],
)
def test_real_values_are_for_the_owner_and_the_raw_list(
    ward: NodeUnderTest, births: Dataset, user: str, role: str, outcome: str | None
) -> None:
    answer = ask(ward, ward.as_(user, role), column(births, "weight"))
    if outcome is None:
        assert values(answer)[0].shape == (40,)
    else:
        assert code(answer) == outcome
        assert "3." not in answer.text


def test_a_caller_who_is_not_signed_in_gets_nothing(ward: NodeUnderTest, births: Dataset) -> None:
    assert code(ask(ward, {}, column(births, "weight").mean())) == "not_signed_in"


@pytest.mark.parametrize("leak", ["row", "slice", "max", "sorted", "one row's sum", "gram of rows"])
def test_single_rows_are_refused_with_the_step_to_blame(
    ward: NodeUnderTest, births: Dataset, leak: str
) -> None:
    weight = column(births, "weight")
    asked = {
        "row": lambda: weight[0],
        "slice": lambda: weight[:1],
        "max": lambda: weight.max(),
        "sorted": lambda: weight.median(),
        "one row's sum": lambda: weight[3:4].sum(),
        "gram of rows": lambda: weight.unsqueeze(1) @ weight.unsqueeze(0),
    }[leak]()
    answer = ask(ward, ward.as_("dana"), asked)
    assert code(answer) == "get_not_permitted"
    assert "step " in answer.json()["detail"]


def test_a_condition_that_singles_out_few_rows_is_suppressed(ward: NodeUnderTest, births: Dataset) -> None:
    weight, smoker = column(births, "weight"), column(births, "smoker")
    dana = ward.as_("dana")
    assert code(ask(ward, dana, weight.where(smoker, 0).sum())) == "result_suppressed"
    assert code(ask(ward, dana, smoker.sum())) == "result_suppressed"
    assert code(ask(ward, dana, weight.where(~smoker, 0).sum())) == "result_suppressed"
    w = real(ward, births, "weight")
    middle = w.median()
    answer = ask(ward, dana, weight.where(weight > float(middle), 0).sum())
    torch.testing.assert_close(values(answer)[0], w.where(w > middle, 0).sum())
    nobody = ask(ward, dana, (weight > 99).sum())
    assert values(nobody)[0].item() == 0


def test_those_who_may_read_are_not_suppressed(ward: NodeUnderTest, births: Dataset) -> None:
    assert values(ask(ward, ward.as_("ana"), column(births, "smoker").sum()))[0].item() == 3


def test_a_nan_made_of_a_row_is_suppressed(ward: NodeUnderTest, births: Dataset) -> None:
    weight = column(births, "weight")
    gap = weight - float(real(ward, births, "weight")[7])
    assert code(ask(ward, ward.as_("dana"), (gap / gap).sum())) == "result_suppressed"


def test_an_aggregate_over_fewer_rows_than_the_owner_wants_is_suppressed(
    ward: NodeUnderTest,
) -> None:
    access = {"compute": ["@signed-in"]}
    few = {"weight": np.array([3.5, 3.7, 3.9, 4.1, 4.1])}
    dana = ward.as_("dana")
    small = publish(ward, ward.as_("bob"), few, name="small", access=access)
    assert code(ask(ward, dana, column(small, "weight").mean())) == "result_suppressed"
    demo = publish(ward, ward.as_("bob"), few, name="demo", access=access, min_rows=5)
    assert values(ask(ward, dana, column(demo, "weight").mean()))[0].item() == pytest.approx(3.86)


def test_a_hidden_dataset_and_a_missing_one_give_the_same_refusal(ward: NodeUnderTest) -> None:
    hidden = publish(ward, ward.as_("bob"), {"x": np.ones(20)}, name="hidden")
    missing = copy.deepcopy(hidden) | {"id": "ds-" + "0" * 24}
    answers = [ask(ward, ward.as_("dana"), column(each, "x").mean()) for each in (hidden, missing)]
    assert {code(answer) for answer in answers} == {"object_not_found"}
    details = {
        answer.json()["detail"].replace(each["id"], "")
        for answer, each in zip(answers, (hidden, missing), strict=True)
    }
    assert len(details) == 1


def test_discovery_alone_computes_nothing_and_is_told_so(ward: NodeUnderTest) -> None:
    shown = publish(
        ward, ward.as_("bob"), {"x": np.ones(20)}, name="shown", access={"discover": ["@signed-in"]}
    )
    dana = ward.as_("dana")
    assert code(ask(ward, dana, column(shown, "x").mean())) == "get_not_permitted"
    assert code(ask(ward, dana, column(shown, "x").mean(), release=False)) == "not_authorized"


def test_a_right_that_is_taken_back_while_a_plan_runs_is_gone(
    ward: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = publish(ward, ward.as_("bob"), {"x": np.ones(20)}, name="fleeting", access={"compute": ["dana"]})
    headers, bob = ward.as_("dana"), ward.as_("bob")
    compute = ward.node.workers.run

    def meanwhile(plan: Plan, inputs: dict[str, torch.Tensor], *more: Any) -> dict[str, torch.Tensor]:
        path, change = f"/v1/datasets/{data['id']}", {"access": {"discover": ["dana"]}}
        assert ward.client.patch(path, json=change, headers=bob).status_code == 200
        return compute(plan, inputs, *more)

    monkeypatch.setattr(ward.node.workers, "run", meanwhile)
    assert code(ask(ward, headers, column(data, "x").mean())) == "get_not_permitted"


def test_every_decision_is_written_down_with_its_plan(ward: NodeUnderTest, births: Dataset) -> None:
    dana, weight = ward.as_("dana"), column(births, "weight")
    ask(ward, dana, weight.mean())
    given = last_audit(ward, "release")
    assert (given.actor, given.decision, given.reason) == ("dana", "value", "aggregate")
    assert given.subject == f"{births['id']}@1"
    assert given.plan_digest == codec.digest(codec.from_dict(question(weight.mean())["plan"]))
    ask(ward, dana, weight)
    assert last_audit(ward, "release").decision == "refused"
    ask(ward, dana, column(births, "smoker").sum())
    assert last_audit(ward, "release").reason == "small_group"


# --- kept results


def keep(node: NodeUnderTest, headers: dict[str, str], expression: Any) -> dict[str, Any]:
    answer = ask(node, headers, expression, release=False)
    assert answer.status_code == 200, answer.text
    assert answer.json()["values"] == []
    (thing,) = answer.json()["objects"]
    found: dict[str, Any] = thing
    return found


def test_a_kept_result_is_as_private_as_what_it_was_made_of(ward: NodeUnderTest, births: Dataset) -> None:
    dana, weight = ward.as_("dana"), column(births, "weight")
    rows = keep(ward, dana, weight * 2)
    assert rows["provenance"]["rows"] is True
    assert rows["provenance"]["datasets"] == [f"{births['id']}@1"]
    assert code(ask(ward, dana, kept(rows))) == "get_not_permitted"
    total = values(ask(ward, dana, kept(rows).sum()))[0]
    torch.testing.assert_close(total, real(ward, births, "weight").sum() * 2)
    one = keep(ward, dana, weight[3:4])
    assert code(ask(ward, dana, kept(one))) == "get_not_permitted"
    assert code(ask(ward, dana, kept(one).sum())) == "get_not_permitted"
    mean = keep(ward, dana, weight.mean())
    assert mean["provenance"]["rows"] is False
    torch.testing.assert_close(values(ask(ward, dana, kept(mean)))[0], real(ward, births, "weight").mean())


def test_masks_are_counted_when_a_result_is_kept_and_remembered_afterwards(
    ward: NodeUnderTest, births: Dataset
) -> None:
    dana, weight = ward.as_("dana"), column(births, "weight")
    few = weight.where(column(births, "smoker"), 0)
    assert code(ask(ward, dana, few, release=False)) == "result_suppressed"
    middle = float(real(ward, births, "weight").median())
    heavy = keep(ward, dana, weight.where(weight > middle, 0))
    light = keep(ward, dana, (weight < middle + 0.01).to(weight.dtype))
    assert code(ask(ward, dana, (kept(heavy) * kept(light)).sum())) == "get_not_permitted"
    flag = keep(ward, dana, column(births, "smoker"))
    assert code(ask(ward, dana, kept(flag).sum())) == "result_suppressed"


def test_the_permission_of_a_result_is_the_meet_of_its_inputs(ward: NodeUnderTest, births: Dataset) -> None:
    own = publish(ward, ward.as_("bob"), {"x": np.ones(40)}, name="open", access={"raw": ["dana"]})
    dana = ward.as_("dana")
    assert values(ask(ward, dana, column(own, "x")))[0].sum() == 40
    both = keep(ward, dana, column(own, "x").mean() + column(births, "weight").mean())
    assert len(both["provenance"]["datasets"]) == 2
    assert values(ask(ward, dana, kept(both)))[0].shape == ()
    beside = {"dataset_id": births["id"], "tensor": "weight"}
    assert beside["dataset_id"] != own["id"]
    change = {"access": {"discover": ["@signed-in"]}}
    changed = ward.client.patch(f"/v1/datasets/{own['id']}", json=change, headers=ward.as_("bob"))
    assert changed.status_code == 200
    assert code(ask(ward, dana, kept(both))) == "get_not_permitted"


def test_a_result_of_a_deleted_dataset_is_for_nobody(ward: NodeUnderTest) -> None:
    gone = publish(ward, ward.as_("bob"), {"x": np.ones(40)}, name="gone", access={"compute": ["dana"]})
    dana = ward.as_("dana")
    mean = keep(ward, dana, column(gone, "x").mean())
    assert ward.client.delete(f"/v1/datasets/{gone['id']}", headers=ward.as_("bob")).status_code == 204
    assert code(ask(ward, dana, kept(mean))) == "get_not_permitted"


def test_nobody_computes_on_anothers_object(ward: NodeUnderTest, births: Dataset) -> None:
    mean = keep(ward, ward.as_("dana"), column(births, "weight").mean())
    for other in ("bob", "ana"):
        assert code(ask(ward, ward.as_(other), kept(mean))) == "object_not_found"


def test_public_values_and_own_objects_are_the_callers_and_come_back(ward: NodeUnderTest) -> None:
    data = base64.b64encode(np.array([1.0, 2.0]).tobytes()).decode()
    body = {"tensor": {"name": "x", "dtype": "float64", "shape": [2], "data": data}}
    sent = ward.client.post("/v1/objects", json=body, headers=ward.as_("dana"))
    assert sent.status_code == 201
    assert values(ask(ward, ward.as_("dana"), kept(sent.json())))[0].tolist() == [1.0, 2.0]
    refused = ward.client.post("/v1/objects", json=body, headers=ward.as_("gus", "guest"))
    assert code(refused) == "send_not_permitted"


# --- hostile documents


def test_plans_are_data_and_never_evaluated(ward: NodeUnderTest, births: Dataset) -> None:
    body = question(column(births, "weight").mean())
    for op in (
        "__import__('os').system('touch /tmp/owned')",
        "os.system",
        "aten.system.default",
        "builtins.eval",
    ):
        evil = copy.deepcopy(body)
        evil["plan"]["ops"][0]["op"] = op
        answer = ward.client.post("/v1/computations", json=evil, headers=ward.as_("dana"))
        assert code(answer) == "plan_rejected"
    evil = copy.deepcopy(body)
    evil["plan"]["outputs"][0]["ref"] = "__class__"
    assert code(ward.client.post("/v1/computations", json=evil, headers=ward.as_("dana"))) == "plan_rejected"


def test_a_name_in_the_body_is_no_identity(ward: NodeUnderTest, births: Dataset) -> None:
    body = question(column(births, "weight")) | {"user": "ana", "current_user": "bob"}
    assert code(ward.client.post("/v1/computations", json=body, headers=ward.as_("dana"))) == "invalid_input"


def test_a_source_that_is_fed_twice_or_not_at_all_is_refused(ward: NodeUnderTest, births: Dataset) -> None:
    body = question(column(births, "weight").mean())
    twice = copy.deepcopy(body)
    twice["sources"] *= 2
    none = copy.deepcopy(body) | {"sources": []}
    neither = copy.deepcopy(body)
    del neither["sources"][0]["dataset_id"]
    for bad in (twice, none, neither):
        assert (
            code(ward.client.post("/v1/computations", json=bad, headers=ward.as_("dana"))) == "invalid_input"
        )


def endless(steps: int) -> Plan:
    """Many large products: far beyond any limit on time, well-formed all the same."""
    shape = (2000, 2000)
    chain = tuple(
        Step(Op.MM, (Ref("x" if at == 0 else f"t{at - 1}"), Ref("x")), (f"t{at}",)) for at in range(steps)
    )
    made = Input("n", Role.DATA, DType.FLOAT64, (Dim("B"),))
    full = Step(Op.FULL, (shape, 0.001, DType.FLOAT64), ("x",))
    total = Step(Op.SUM_DIM_INTLIST, (Ref(f"t{steps - 1}"), None, False, None), ("y",))
    dims = (("B", DimRange(1)),)
    return Plan(
        "endless",
        Kind.STATISTICS,
        "",
        dims,
        (made,),
        (),
        (full, *chain, total),
        (Output("y", Role.OUTPUT, "y"),),
    )


def test_an_endless_plan_is_ended_and_the_node_answers_meanwhile(
    ward: NodeUnderTest, births: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ward.node.settings, "plan_time_s", 2.0)
    weight = {"input": "n", "dataset_id": births["id"], "tensor": "weight"}
    body = {"plan": codec.to_dict(endless(2000)), "sources": [weight], "release": True}
    dana, codes = ward.as_("dana"), []
    asking = threading.Thread(
        target=lambda: codes.append(code(ward.client.post("/v1/computations", json=body, headers=dana)))
    )
    asking.start()
    slowest = 0.0
    while asking.is_alive():
        begun = time.monotonic()
        assert ward.client.get("/health").status_code == 200
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.05)
    asking.join()
    assert codes == ["plan_limit"]
    assert slowest < 2.0
    assert values(ask(ward, dana, column(births, "weight").mean()))[0].shape == ()


def test_a_huge_plan_is_refused_before_it_runs(ward: NodeUnderTest, births: Dataset) -> None:
    plan = codec.to_dict(endless(1))
    plan["ops"][0]["args"][0]["ints"] = [2**20, 2**20]
    weight = {"input": "n", "dataset_id": births["id"], "tensor": "weight"}
    body = {"plan": plan, "sources": [weight], "release": True}
    assert code(ward.client.post("/v1/computations", json=body, headers=ward.as_("dana"))) == "plan_limit"


def test_too_many_computations_at_once_are_told_to_come_back(ward: NodeUnderTest, births: Dataset) -> None:
    places = ward.node.workers.computations
    held = 0
    try:
        while places.take_if_free():
            held += 1
        answer = ask(ward, ward.as_("dana"), column(births, "weight").mean())
        assert code(answer) == "busy"
        assert int(answer.headers["Retry-After"]) >= 1
    finally:
        for _ in range(held):
            places.give_back()


def test_a_node_on_any_database_computes_and_keeps(node: NodeUnderTest) -> None:
    data = publish(node, node.as_("bob"), {"x": np.arange(20.0)}, access={"compute": ["dana"]})
    thing = keep(node, node.as_("dana"), column(data, "x").mean())
    assert values(ask(node, node.as_("dana"), kept(thing)))[0].item() == 9.5
