"""A node that is killed during a training comes back whole, says what happened, and trains again."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gridward.core import tensors
from gridward.core.plans import codec
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.trace import trace_training
from gridward.core.schemas.uploads import MediaType
from tests.support.files import safetensors
from tests.support.grids import ServerProcess, eventually

PASSWORD = "correct horse battery"
STEP = trace_training(
    nn.Linear(4, 3), functional.cross_entropy, SGD(0.1), (torch.randn(4, 4), torch.arange(4) % 3), name="step"
)


def children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def signed_in(node: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=node.url, timeout=30, trust_env=False) as client:
        answer = client.post("/v1/sessions", json={"username": "bob", "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


def publish(client: httpx2.Client) -> dict[str, Any]:
    drawn = np.random.default_rng(3)
    content = safetensors(
        {"points": drawn.normal(size=(3000, 4)).astype(np.float32), "labels": np.arange(3000) % 3}
    )
    announced = {
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "media_type": MediaType.SAFETENSORS.value,
    }
    upload_id = client.post("/v1/uploads", json=announced).json()["id"]
    sent = {"Upload-Offset": "0", "Content-Type": "application/octet-stream"}
    assert client.patch(f"/v1/uploads/{upload_id}", content=content, headers=sent).json()["complete"]
    made = client.post("/v1/datasets", json={"name": "digits", "upload_id": upload_id})
    assert made.status_code == 201, made.text
    said: dict[str, Any] = made.json()
    return said


def order(dataset_id: str, epochs: int) -> dict[str, Any]:
    learnt = [tensors.encode(name, value).model_dump() for name, value in STEP.parameters.items()]
    return {
        "plan": codec.to_dict(STEP.plan),
        "dataset_id": dataset_id,
        "feeds": [{"input": "x", "tensor": "points"}, {"input": "y", "tensor": "labels"}],
        "parameters": [item for item in learnt if item["name"] != "lr"],
        "hyper": [{"input": "lr", "value": 0.1}],
        "epochs": epochs,
        "batch_size": 10,
    }


@pytest.mark.e2e
def test_a_node_killed_during_training_fails_it_clearly_and_goes_on(tmp_path: Path) -> None:
    node = ServerProcess("node", "ward", tmp_path / "ward")
    token = node.init()
    try:
        node.start()
        body = {"token": token, "username": "bob", "password": PASSWORD}
        assert httpx2.post(f"{node.url}/v1/setup", json=body).status_code == 201
        with signed_in(node) as client:
            dataset = publish(client)
            run = client.post("/v1/trainings", json=order(dataset["id"], 10_000)).json()
            path = f"/v1/trainings/{run['id']}"
            eventually(lambda: client.get(path, params={"wait_s": 5}).json()["epochs_done"] or None, "epochs")
        assert node.process is not None
        workers = children(node.process.pid)
        assert workers
        node.kill()
        eventually(lambda: not any(alive(pid) for pid in workers) or None, "the workers to end")
        node.start()
        with signed_in(node) as client:
            said = client.get(path).json()
            assert said["state"] == "failed"
            assert "stopped while this training ran" in said["detail"]
            assert client.get(f"/v1/datasets/{dataset['id']}").json()["rows"] == 3000
            again = client.post("/v1/trainings", json=order(dataset["id"], 1)).json()
            deadline = time.monotonic() + 60
            while again["state"] == "running" and time.monotonic() < deadline:
                again = client.get(f"/v1/trainings/{again['id']}", params={"wait_s": 5}).json()
            assert again["state"] == "done", again["detail"]
            assert {item["name"] for item in again["parameters"]} == {"weight", "bias"}
    finally:
        node.kill()
