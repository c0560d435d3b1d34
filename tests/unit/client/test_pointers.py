import inspect
import json
import operator
from collections.abc import Callable

import httpx2
import numpy as np
import pytest
import torch

import gridward as gw
from gridward.client import wire
from gridward.client.pointers import METHODS, Pair
from gridward.core.plans import codec
from gridward.core.plans.executors import plain
from gridward.core.schemas.computations import ComputationOut
from gridward.core.schemas.objects import ObjectOut
from tests.support.places import RecordingPlace

WEIGHT = torch.tensor([3.5, 3.7, 3.9, 4.1, 4.1], dtype=torch.float64)
HEIGHT = torch.tensor([47.3, 48.1, 50.0, 52.3, 49.7], dtype=torch.float64)
COLUMNS = {"weight": WEIGHT, "height": HEIGHT}
Make = Callable[[gw.Pointer, gw.Pointer], gw.Pointer]


def executing(request: httpx2.Request) -> httpx2.Response:
    """A node without a policy: runs the plan that was sent, and releases everything."""
    body = json.loads(request.content)
    assert body["release"] is True
    plan = codec.from_dict(body["plan"])
    fed = {source["input"]: COLUMNS[source["tensor"]] for source in body["sources"]}
    values = [wire.encode(name, value) for name, value in plain.run(plan, fed).items()]
    out = ComputationOut(answer="value", values=values, objects=[])
    return httpx2.Response(200, content=out.model_dump_json())


@pytest.mark.parametrize(
    "question",
    [
        lambda w, h: w + h,
        lambda w, h: 1 - w * 2,
        lambda w, h: 1 / w + 2**w,
        lambda w, h: (w / (h / 100) ** 2).mean(),
        lambda w, h: w % 2 + h // 3,
        lambda w, h: ((w > 3.8) & (h <= 50) | ~(w == 4.1)).sum(),
        lambda w, h: (w != h).any(),
        lambda w, h: abs(-w).sqrt().var(),
        lambda w, h: w.std(correction=0),
        lambda w, h: w @ h,
        lambda w, h: w.max(dim=0).values,
        lambda w, h: w.max(dim=0).indices,
        lambda w, h: w.sort(descending=True).values,
        lambda w, h: w.reshape(-1, 1).T @ h.reshape(-1, 1),
        lambda w, h: w[1:4].sum(),
        lambda w, h: w[None, 2],
        lambda w, h: w.clamp(min=3.8, max=4.0),
        lambda w, h: w.to(torch.float32).exp(),
        lambda w, h: w.where(w > 4, other=h),
    ],
)
def test_a_pointer_gives_what_torch_gives(question: Make, hospital: RecordingPlace) -> None:
    hospital.answer = executing
    births = hospital.dataset()
    asked = question(births["weight"], births["height"])
    assert hospital.requests == []
    wanted = question(WEIGHT, HEIGHT)
    got = asked.get()
    assert got.dtype == wanted.dtype == asked.dtype
    assert torch.allclose(got, wanted)
    assert asked.shape == tuple(wanted.shape) or None in asked.shape
    assert len(hospital.requests) == 1


def test_a_table_is_the_matrix_of_its_columns(hospital: RecordingPlace) -> None:
    hospital.answer = executing
    births = hospital.dataset()
    matrix = torch.stack([WEIGHT, HEIGHT], 1)
    assert births.shape == (5, 2)
    assert births.columns == ("weight", "height")
    assert torch.equal(births.get(), matrix)
    assert torch.allclose(births.mean(dim=0).get(), matrix.mean(dim=0))
    assert torch.equal((births > 4)[:, 0].sum().get(), (WEIGHT > 4).sum())


@pytest.mark.parametrize("public", [torch.tensor([2.0, 3.0], dtype=torch.float64), np.array([2.0, 3.0])])
@pytest.mark.parametrize("apply", [operator.add, operator.sub, operator.mul, operator.pow, operator.truediv])
def test_public_values_stand_on_either_side(
    public: torch.Tensor, apply: Callable[[object, object], gw.Pointer], hospital: RecordingPlace
) -> None:
    hospital.answer = executing
    births, matrix, known = hospital.dataset(), torch.stack([WEIGHT, HEIGHT], 1), torch.as_tensor(public)
    assert torch.allclose(apply(births, public).get(), apply(matrix, known))
    assert torch.allclose(apply(public, births).get(), apply(known, matrix))


def test_public_values_for_each_row_are_refused_because_they_would_single_rows_out(
    hospital: RecordingPlace,
) -> None:
    with pytest.raises(ValueError, match="rows of ds-births on hospital"):
        hospital.dataset()["weight"] * torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])


def test_where_stack_and_cat_follow_torch(hospital: RecordingPlace) -> None:
    hospital.answer = executing
    births = hospital.dataset()
    weight, height = births["weight"], births["height"]
    assert torch.equal(gw.where(weight > 4, weight, 0.0).get(), torch.where(WEIGHT > 4, WEIGHT, 0.0))
    assert torch.equal(gw.stack([weight, height]).get(), torch.stack([WEIGHT, HEIGHT]))
    assert torch.equal(gw.cat([weight, height]).get(), torch.cat([WEIGHT, HEIGHT]))


def test_every_public_method_of_an_expression_is_one_of_a_pointer(hospital: RecordingPlace) -> None:
    weight = hospital.dataset()["weight"]
    assert {"sum", "mean", "var", "std", "min", "max", "matmul", "reshape", "where", "histc", "T"} <= METHODS
    assert set(dir(weight)) >= METHODS
    assert "variance" in (inspect.getdoc(weight.var) or "").lower()
    with pytest.raises(AttributeError, match="no attribute 'tolist'"):
        weight.tolist()


def test_a_pair_is_named_as_in_torch(hospital: RecordingPlace) -> None:
    pair = hospital.dataset()["weight"].min(dim=0)
    assert isinstance(pair, Pair)
    values, indices = pair
    assert (values.dtype, indices.dtype) == (torch.float64, torch.int64)


def test_what_does_not_fit_is_refused_before_anything_is_sent(hospital: RecordingPlace) -> None:
    births = hospital.dataset(images=("float32", [5, 4]), labels=("int64", [5]))
    with pytest.raises(ValueError, match="do not fit"):
        births["images"] + hospital.dataset("other")["weight"]
    with pytest.raises(TypeError, match="several tensors; take one, such as pointer\\['images'\\]"):
        births.mean()
    with pytest.raises(gw.InvalidInputError, match="it has images, labels"):
        births["pixels"]
    with pytest.raises(TypeError):
        births["labels"].mean()
    assert hospital.requests == []


def test_pointers_of_two_nodes_do_not_meet(hospital: RecordingPlace, clinic: RecordingPlace) -> None:
    here, there = hospital.dataset()["weight"], clinic.dataset()["weight"]
    for meet in (operator.add, operator.lt, gw.Pointer.__matmul__, lambda a, b: a.where(a > 1, other=b)):
        with pytest.raises(gw.TensorsNotCollocatedError, match="clinic, hospital"):
            meet(here, there)
    with pytest.raises(gw.TensorsNotCollocatedException):
        gw.stack([here, there])


def test_a_pointer_is_no_condition_no_list_and_no_array(hospital: RecordingPlace) -> None:
    weight = hospital.dataset()["weight"]
    with pytest.raises(TypeError, match="no truth value"):
        bool(weight > 3)
    with pytest.raises(TypeError, match="not iterated"):
        list(weight)
    with pytest.raises(TypeError):
        3.5 in weight  # noqa: B015
    with pytest.raises(TypeError):
        float(weight.mean())
    with pytest.raises(TypeError, match="holds no values"):
        np.asarray(weight)


def test_len_is_the_number_of_rows_where_that_is_known(hospital: RecordingPlace) -> None:
    births = hospital.dataset()
    assert len(births) == len(births["weight"] * 2) == len(births[["weight"][0]]) == 5
    with pytest.raises(TypeError, match="single number"):
        len(births["weight"].mean())
    masked = births["weight"][births["height"] > 50]
    assert masked.shape == (None,)
    with pytest.raises(TypeError, match="only the node knows"):
        len(masked)


def test_what_is_printed_says_what_it_is_and_never_data(hospital: RecordingPlace) -> None:
    hospital.answer = executing
    births = hospital.dataset("birth-records", tags=("#birth-records", "#february"))
    assert repr(births) == "<Pointer birth-records float64[5, 2] #birth-records #february @hospital>"
    assert repr(births["weight"]) == "<Pointer float64[5] of birth-records['weight'] @hospital>"
    mean = (births["weight"] / births["height"]).mean()
    assert repr(mean) == "<Pointer float64[] of birth-records['height'], birth-records['weight'] @hospital>"
    mean.get()
    printed = repr(mean) + mean._repr_html_() + births._repr_html_() + str(births["weight"])
    assert "3.5" not in printed
    assert "0.0" not in printed
    assert "&lt;b&gt;" in births._repr_html_()
    assert "<b>" not in births._repr_html_()


def test_a_bundle_of_tensors_names_them_all(hospital: RecordingPlace) -> None:
    digits = hospital.dataset("mnist", images=("float32", [600, 784]), labels=("int64", [600]))
    assert repr(digits) == "<Pointer mnist images float32[600, 784], labels int64[600] @hospital>"
    assert len(digits) == 600


def test_the_question_does_not_depend_on_the_number_of_rows(hospital: RecordingPlace) -> None:
    hospital.answer = lambda _: httpx2.Response(200, json={"answer": "value", "values": [], "objects": []})
    for rows in (5, 700):
        with pytest.raises(KeyError):
            hospital.dataset(weight=("float64", [rows]))["weight"].mean().get()
    first, second = (json.loads(request.content)["plan"] for request in hospital.requests)
    assert first == second


def test_an_answer_without_a_value_is_an_error(hospital: RecordingPlace) -> None:
    hospital.answer = lambda _: httpx2.Response(200, json={"answer": "pending", "values": [], "objects": []})
    with pytest.raises(gw.GetNotPermittedError, match="pending"):
        hospital.dataset()["weight"].get()


def test_a_kept_result_is_a_pointer_that_still_fits_its_datasets_rows(hospital: RecordingPlace) -> None:
    kept = ObjectOut.model_validate(
        {
            "id": "obj-1",
            "tensor": {"name": "output", "dtype": "float64", "shape": [5]},
            "description": "",
            "tags": [],
            "stored_by": "dana",
            "provenance": {"plan_digest": "0" * 64, "datasets": ["ds-births@1"], "rows": True},
            "created_at": "2026-01-01T00:00:00Z",
        }
    )
    out = ComputationOut(answer="value", values=[], objects=[kept])
    hospital.answer = lambda _: httpx2.Response(200, content=out.model_dump_json())
    births = hospital.dataset()
    doubled = (births["weight"] * 2).materialize()
    assert json.loads(hospital.requests[0].content)["release"] is False
    assert doubled.shape == (5,)
    (doubled + births["height"]).materialize()
    sources = json.loads(hospital.requests[1].content)["sources"]
    assert sorted(source.get("object_id") or source["tensor"] for source in sources) == ["height", "obj-1"]


def test_functions_of_torch_are_the_methods_of_the_same_name(hospital: RecordingPlace) -> None:
    weight = hospital.dataset()["weight"]
    assert repr(torch.mean(weight)) == repr(weight.mean())
    assert torch.sum(weight, dim=0).shape == weight.sum(dim=0).shape
    with pytest.raises(TypeError, match=r"torch.fft_fft does not take pointers"):
        torch.fft.fft(weight)


def test_a_number_of_a_pointer_is_asked_for_with_get(hospital: RecordingPlace) -> None:
    with pytest.raises(TypeError, match=r"get\(\) asks its node"):
        float(hospital.dataset()["weight"].mean())
