"""Asking a node: expressions over its datasets and objects as computations, as the SDK sends them."""

from typing import Any

import torch
from httpx2 import Response

from gridward.core import tensors
from gridward.core.plans import codec
from gridward.core.plans.expression import Expression, Source, to_plan
from gridward.core.plans.plan import Dim, DType
from gridward.core.schemas.tensor import Tensor
from tests.support.nodes import NodeUnderTest

Headers = dict[str, str]


def column(dataset: dict[str, Any], name: str) -> Expression:
    """A dataset's tensor as an expression; its rows are a dynamic size."""
    info = next(item for item in dataset["tensors"] if item["name"] == name)
    key = {"dataset_id": dataset["id"], "tensor": name}
    shape = (Dim(dataset["id"]), *info["shape"][1:])
    return Expression.of(Source(tuple(key.items()), DType(info["dtype"]), shape))


def kept(thing: dict[str, Any]) -> Expression:
    """A stored object as an expression."""
    info = thing["tensor"]
    key = (("object_id", thing["id"]),)
    return Expression.of(Source(key, DType(info["dtype"]), tuple(info["shape"])))


def question(*answers: Expression, release: bool = True) -> dict[str, Any]:
    """The body of a computation; outputs are named y0, y1, …"""
    plan, sources = to_plan({f"y{at}": value for at, value in enumerate(answers)})
    fed = [{"input": name, **dict(source.key)} for name, source in sources.items()]  # type: ignore[call-overload]
    return {"plan": codec.to_dict(plan), "sources": fed, "release": release}


def ask(node: NodeUnderTest, headers: Headers, *answers: Expression, release: bool = True) -> Response:
    """Send a computation."""
    return node.client.post("/v1/computations", json=question(*answers, release=release), headers=headers)


def values(response: Response) -> list[torch.Tensor]:
    """Released values, in order of the outputs."""
    assert response.status_code == 200, response.text
    found = {item["name"]: tensors.decode(Tensor.model_validate(item)) for item in response.json()["values"]}
    return [found[name] for name in sorted(found)]


def code(response: Response) -> str:
    """The code of a refusal."""
    assert response.status_code >= 400, response.text
    return str(response.json()["code"])
