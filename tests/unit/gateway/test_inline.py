"""Schemas without references."""

from typing import Any

from jsonschema import Draft202012Validator

from gridward.core.schemas.gateway import CatalogueIn
from gridward.gateway.inline import inlined
from tests.support.gateways import GatewayUnderTest, entry


def references(part: Any) -> int:
    if isinstance(part, dict):
        return ("$ref" in part) + sum(references(value) for value in part.values())
    return sum(references(item) for item in part) if isinstance(part, list) else 0


def test_every_definition_stands_in_its_place() -> None:
    schema = inlined(CatalogueIn)
    assert references(schema) == 0
    assert "$defs" not in schema
    check = Draft202012Validator(schema)
    tensor = {"name": "w", "dtype": "float64", "shape": [5]}
    assert check.is_valid({"entries": [entry("births", tensors=[tensor])]})
    assert not check.is_valid({"entries": [entry("births", tensors=[tensor | {"dtype": "object"}])]})


def test_the_catalogues_body_is_documented(grid: GatewayUnderTest) -> None:
    paths = grid.client.get("/openapi.json").json()["paths"]
    body = paths["/v1/nodes/{node_id}/catalogue"]["put"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["properties"]["entries"]["maxItems"] == 10_000
