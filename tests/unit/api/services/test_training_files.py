"""Parameters that travel as files: into a training by an upload, out of it and out of a model by range."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn
from torch.nn import functional

from gridward.core.plans.optimizers import SGD
from gridward.core.plans.trace import Traced, trace_training
from gridward.core.schemas.trainings import INLINE_BYTES
from gridward.core.schemas.uploads import MediaType
from tests.support.files import npy, safetensors, upload
from tests.support.nodes import NodeUnderTest
from tests.support.questions import code
from tests.support.trainings import (
    STEP,
    Dataset,
    begin,
    body_of,
    finish,
    parameters,
)

BYTES = safetensors({name: value.numpy() for name, value in STEP.parameters.items()})


def test_a_training_from_an_upload_is_the_one_from_the_message(ward: NodeUnderTest, digits: Dataset) -> None:
    tess = ward.as_("tess")
    sent = upload(ward, tess, BYTES, MediaType.SAFETENSORS)
    by_file = finish(ward, tess, body_of(digits, parameters=[], parameters_upload=sent))
    by_message = finish(ward, tess, body_of(digits))
    assert by_file["content_bytes"] == 0
    found, expected = parameters(by_file), parameters(by_message)
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_an_upload_is_used_up_by_the_training_that_starts(ward: NodeUnderTest, digits: Dataset) -> None:
    tess = ward.as_("tess")
    sent = upload(ward, tess, BYTES, MediaType.SAFETENSORS)
    body = body_of(digits, parameters=[], parameters_upload=sent)
    assert begin(ward, tess, body | {"batch_size": 1}).status_code >= 400
    assert ward.client.get(f"/v1/uploads/{sent}", headers=tess).status_code == 200
    finish(ward, tess, body)
    assert ward.client.get(f"/v1/uploads/{sent}", headers=tess).status_code == 404
    assert code(begin(ward, tess, body)) == "object_not_found"


def test_parameters_that_do_not_fit_are_refused_and_the_upload_stays(
    ward: NodeUnderTest, digits: Dataset
) -> None:
    tess = ward.as_("tess")
    sent = upload(ward, tess, safetensors({"0.weight": np.zeros((8, 4), np.float32)}), MediaType.SAFETENSORS)
    refused = begin(ward, tess, body_of(digits, parameters=[], parameters_upload=sent))
    assert (refused.status_code, code(refused)) == (422, "invalid_input")
    assert "0.bias is missing" in refused.json()["detail"]
    both = begin(ward, tess, body_of(digits, parameters_upload=sent))
    assert "not both" in both.json()["detail"]
    assert ward.client.delete(f"/v1/uploads/{sent}", headers=tess).status_code == 204


def test_only_ones_own_safetensors_hold_parameters(ward: NodeUnderTest, digits: Dataset) -> None:
    tess, tom = ward.as_("tess"), ward.as_("tom")
    other = upload(ward, tess, npy(np.zeros(3)), MediaType.NUMPY)
    assert code(begin(ward, tess, body_of(digits, parameters=[], parameters_upload=other))) == "conflict"
    assert (
        code(begin(ward, tom, body_of(digits, parameters=[], parameters_upload=other))) == "object_not_found"
    )


def test_the_file_of_a_run_is_what_its_message_holds_and_resumes_by_range(
    ward: NodeUnderTest, digits: Dataset
) -> None:
    tess = ward.as_("tess")
    done = finish(ward, tess, body_of(digits))
    path = f"/v1/trainings/{done['id']}/content"
    whole = ward.client.get(path, headers=tess)
    assert whole.headers["content-type"] == MediaType.SAFETENSORS.value
    assert whole.headers["etag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
    assert all(torch.equal(load(whole.content)[name], value) for name, value in parameters(done).items())
    asked = tess | {"Range": "bytes=100-", "If-Range": whole.headers["etag"]}
    rest = ward.client.get(path, headers=asked)
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    other = ward.client.get(path, headers=asked | {"If-Range": '"0"'})
    assert (other.status_code, other.content) == (200, whole.content)


def test_the_file_leaves_as_the_message_would(ward: NodeUnderTest, digits: Dataset) -> None:
    tom = ward.as_("tom")
    done = finish(ward, tom, body_of(digits))
    assert done["parameters"] == []
    assert done["content_bytes"] == 0
    path = f"/v1/trainings/{done['id']}/content"
    assert code(ward.client.get(path, headers=tom)) == "get_not_permitted"
    assert code(ward.client.get(path, headers=ward.as_("tess"))) == "object_not_found"
    assert ward.client.delete(f"/v1/trainings/{done['id']}", headers=tom).status_code == 204
    assert code(ward.client.get(path, headers=tom)) == "object_not_found"


@pytest.fixture(scope="module")
def wide() -> Traced:
    student = nn.Sequential(nn.Linear(4, INLINE_BYTES // 32), nn.ReLU(), nn.Linear(INLINE_BYTES // 32, 3))
    batch = (torch.randn(4, 4), torch.arange(4) % 3)
    return trace_training(student, functional.cross_entropy, SGD(0.01), batch, name="wide")


def test_large_parameters_are_announced_and_leave_as_a_file_only(
    ward: NodeUnderTest, digits: Dataset, wide: Traced
) -> None:
    tess = ward.as_("tess")
    content = safetensors({name: value.numpy() for name, value in wide.parameters.items()})
    sent = upload(ward, tess, content, MediaType.SAFETENSORS)
    done = finish(
        ward, tess, body_of(digits, wide, parameters=[], parameters_upload=sent, hyper=hyper(wide), epochs=1)
    )
    assert (done["state"], done["parameters"]) == ("done", [])
    file = ward.client.get(f"/v1/trainings/{done['id']}/content", headers=tess).content
    assert len(file) == done["content_bytes"] > INLINE_BYTES
    assert load(file)["0.weight"].shape == wide.parameters["0.weight"].shape


def hyper(traced: Traced) -> list[dict[str, object]]:
    return [{"input": name, "value": float(value)} for name, value in traced.hyper.items()]
