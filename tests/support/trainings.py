"""Trainings on a node, as a caller of REST starts and awaits them."""

import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from gridward.core import tensors
from gridward.core.plans import codec
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.trace import Traced, trace_module, trace_training
from gridward.core.schemas.tensor import Tensor
from gridward.core.schemas.uploads import MediaType
from tests.support.files import safetensors, upload
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers

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
