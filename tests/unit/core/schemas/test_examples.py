import importlib
import json
import pkgutil
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from gridward.api.main import create_app as create_node
from gridward.core import schemas
from gridward.core.plans import codec
from gridward.core.schemas.examples import EXAMPLES
from gridward.gateway.main import create_app as create_gateway
from gridward.server import app as server_app
from gridward.server.settings import GatewaySettings, NodeSettings


def models() -> dict[str, type[BaseModel]]:
    modules = [
        importlib.import_module(f"gridward.core.schemas.{m.name}")
        for m in pkgutil.iter_modules(schemas.__path__)
    ]
    found = [value for module in [*modules, server_app] for value in vars(module).values()]
    return {kind.__name__: kind for kind in found if isinstance(kind, type) and issubclass(kind, BaseModel)}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_is_what_it_is_an_example_of(name: str) -> None:
    models()[name].model_validate_json(json.dumps(EXAMPLES[name]))


@pytest.mark.parametrize("name", ["ComputationIn", "ModelIn", "PlanDocument"])
def test_the_plans_of_examples_are_plans(name: str) -> None:
    example: Any = EXAMPLES[name]
    codec.from_dict(example.get("plan", example))


@pytest.mark.parametrize(
    "app", [create_node(NodeSettings()), create_gateway(GatewaySettings())], ids=["node", "gateway"]
)
def test_every_json_body_and_answer_has_an_example(app: FastAPI) -> None:
    document = app.openapi()
    shown = document["components"]["schemas"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for body in bodies:
                schema = body.get("content", {}).get("application/json", {}).get("schema", {})
                if "$ref" in schema:
                    name = schema["$ref"].rsplit("/", 1)[1]
                    assert shown[name].get("examples"), f"{method} {path}: {name} has no example"
