"""Models on a node: hosted, described, queried, taken away, each by its verb."""

import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from gridward.core import tensors
from gridward.core.plans import codec
from gridward.core.plans.trace import trace_module
from gridward.core.schemas.tensor import Tensor
from gridward.core.schemas.uploads import MediaType
from tests.support.files import safetensors, upload
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, code

LINEAR = nn.Linear(2, 1)
with torch.no_grad():
    LINEAR.weight.copy_(torch.tensor([[2.0, 4.0]]))
    LINEAR.bias.fill_(1000.0)
TRACED = trace_module(LINEAR, (torch.zeros(3, 2),), name="diagnosis")
PLAN = codec.to_dict(TRACED.plan)
DATA = TRACED.plan.inputs[-1].name
PARAMETERS = {name: value.numpy() for name, value in TRACED.parameters.items()}
QUERY = {"inputs": [tensors.encode(DATA, torch.tensor([[5.0, 3.0]])).model_dump()]}
PUBLIC = {"discover": ["@signed-in"], "infer": ["@signed-in"], "download": ["ana"]}


def serve(node: NodeUnderTest, headers: Headers, content: bytes | None = None, **fields: Any) -> Any:
    upload_id = upload(node, headers, content or safetensors(PARAMETERS), MediaType.SAFETENSORS)
    body = {"id": "diagnosis", "plan": PLAN, "upload_id": upload_id, "access": PUBLIC} | fields
    return node.client.post("/v1/models", json=body, headers=headers)


def test_the_linear_example_gives_1022(ward: NodeUnderTest) -> None:
    assert serve(ward, ward.as_("carol"), id="linear").status_code == 201
    answer = ward.client.post("/v1/models/linear/inference", json=QUERY, headers=ward.as_("dana"))
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert tensors.decode(Tensor.model_validate(output)).tolist() == [[1022.0]]
    forged = {"inputs": [*QUERY["inputs"], tensors.encode("bias", torch.zeros(1)).model_dump()]}
    refused = ward.client.post("/v1/models/linear/inference", json=forged, headers=ward.as_("dana"))
    assert code(refused) == "invalid_input"
    nothing = {"inputs": [tensors.encode("z", torch.zeros(1)).model_dump()]}
    assert code(ward.client.post("/v1/models/linear/inference", json=nothing, headers=ward.as_("dana"))) == (
        "invalid_input"
    )


def test_a_model_is_described_without_its_parameters(node: NodeUnderTest) -> None:
    said = serve(node, node.as_("carol"), tags=["#linear"]).json()
    assert said["inputs"] == [{"name": DATA, "dtype": "float32", "shape": [0, 2]}]
    assert {item["name"] for item in said["parameters"]} == {"weight", "bias"}
    assert (said["holds_parameters"], said["version"], said["trained_on"]) == (True, 1, [])
    assert (said["hosted_by"], said["plan_digest"]) == ("carol", codec.digest(TRACED.plan))
    dana = node.as_("dana")
    seen = node.client.get("/v1/models/diagnosis", headers=dana).json()
    assert seen["verbs"] == ["discover", "infer"]
    assert codec.from_dict(node.client.get("/v1/models/diagnosis/plan", headers=dana).json()) == TRACED.plan
    found = node.client.get("/v1/models", params={"tag": "#linear"}, headers=dana).json()
    assert [item["id"] for item in found["items"]] == ["diagnosis"]
    assert node.client.get("/v1/models", params={"tag": "#other"}, headers=dana).json()["total"] == 0


@pytest.mark.parametrize(
    ("user", "role", "hidden", "open_to_all"),
    [
        ("dana", "data_scientist", "object_not_found", "not_authorized"),
        ("olga", "data_officer", "object_not_found", "not_authorized"),
        ("adam", "admin", "object_not_found", "not_authorized"),
        ("gus", "guest", "object_not_found", "not_authorized"),
        ("ana", "data_scientist", "object_not_found", None),
        ("carol", "data_scientist", None, None),
        ("bob", "owner", None, None),
    ],
)
def test_parameters_are_for_those_who_may_download(
    node: NodeUnderTest, user: str, role: str, hidden: str | None, open_to_all: str | None
) -> None:
    headers = node.as_(user, role)
    serve(node, node.as_("carol"), id="hidden", access={})
    serve(node, node.as_("carol"), id="shown")
    for model, outcome in (("hidden", hidden), ("shown", open_to_all)):
        answer = node.client.get(f"/v1/models/{model}/parameters", headers=headers)
        if outcome is None:
            found = {p["name"]: tensors.decode(Tensor.model_validate(p)) for p in answer.json()["parameters"]}
            assert torch.equal(found["weight"], LINEAR.weight)
        else:
            assert code(answer) == outcome
        file = node.client.get(f"/v1/models/{model}/content", headers=headers)
        assert (load(file.content)["weight"].tolist() if outcome is None else code(file)) == (
            outcome or LINEAR.weight.tolist()
        )


def test_only_whoever_hosts_a_model_and_the_owner_change_it(node: NodeUnderTest) -> None:
    serve(node, node.as_("carol"))
    for user in ("dana", "ana"):
        headers = node.as_(user)
        assert code(node.client.delete("/v1/models/diagnosis", headers=headers)) == "not_authorized"
        body = {"upload_id": upload(node, headers, safetensors(PARAMETERS), MediaType.SAFETENSORS)}
        answer = node.client.put("/v1/models/diagnosis/parameters", json=body, headers=headers)
        assert code(answer) == "not_authorized"
    carol = node.as_("carol")
    changed = {name: value + 1 for name, value in PARAMETERS.items()}
    body = {"upload_id": upload(node, carol, safetensors(changed), MediaType.SAFETENSORS)}
    said = node.client.put("/v1/models/diagnosis/parameters", json=body, headers=carol)
    assert said.json()["version"] == 2
    got = node.client.get("/v1/models/diagnosis/parameters", headers=carol).json()
    assert got["version"] == 2
    assert node.client.delete("/v1/models/diagnosis", headers=node.as_("bob")).status_code == 204
    assert code(node.client.get("/v1/models/diagnosis", headers=carol)) == "object_not_found"


def test_an_id_is_taken_once(node: NodeUnderTest) -> None:
    serve(node, node.as_("carol"))
    assert code(serve(node, node.as_("dana"))) == "already_exists"


def test_guests_may_not_host(node: NodeUnderTest) -> None:
    body = {"id": "mine", "plan": PLAN}
    answer = node.client.post("/v1/models", json=body, headers=node.as_("gus", "guest"))
    assert code(answer) == "send_not_permitted"


def test_a_model_without_parameters_is_not_queried_in_the_clear(node: NodeUnderTest) -> None:
    body = {"id": "secret", "plan": PLAN, "access": PUBLIC}
    made = node.client.post("/v1/models", json=body, headers=node.as_("carol"))
    assert made.json()["holds_parameters"] is False
    answer = node.client.post("/v1/models/secret/inference", json=QUERY, headers=node.as_("dana"))
    assert code(answer) == "conflict"


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled!",))


def torch_saved() -> bytes:
    file = io.BytesIO()
    torch.save({"weight": LINEAR.weight, "bias": LINEAR.bias, "bomb": Bomb()}, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Bomb()),
        torch_saved(),
        b"\x80\x04" * 40,
        b"\xff" * 8 + b"{}",
        safetensors({"weight": PARAMETERS["weight"]}),
        safetensors(PARAMETERS | {"more": np.zeros(1, np.float32)}),
        safetensors(PARAMETERS | {"bias": np.zeros(1, np.float64)}),
        safetensors(PARAMETERS | {"bias": np.zeros(2, np.float32)}),
    ],
    ids=["pickle", "torch.save", "opcodes", "huge header", "missing", "foreign", "dtype", "shape"],
)
def test_what_is_not_the_plans_parameters_is_refused_and_never_unpickled(
    ward: NodeUnderTest, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code(serve(ward, ward.as_("carol"), content, id="bad")) == "upload_refused"
    assert "unpickled!" not in capfd.readouterr().out
    assert code(ward.client.get("/v1/models/bad", headers=ward.as_("carol"))) == "object_not_found"


def test_a_hosted_model_is_an_inference_plan(node: NodeUnderTest) -> None:
    plan = dict(PLAN) | {"kind": "training"}
    body = {"id": "odd", "plan": plan}
    answer = node.client.post("/v1/models", json=body, headers=node.as_("carol"))
    assert code(answer) in ("invalid_input", "plan_rejected")
