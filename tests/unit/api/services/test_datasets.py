"""Datasets over the node's routes: what is published is there, and only for those who may know."""


import numpy as np
from safetensors.numpy import load_file

from gridward.api import storage
from gridward.api.tables.datasets import Dataset
from tests.support.files import Arrays, publish
from tests.support.nodes import NodeUnderTest

WARD: Arrays = {
    "weight": np.array([3.5, 3.7, 3.9, 4.1, 4.1]),
    "height": np.array([47.3, 48.1, 50.0, 52.3, 49.7]),
    "mother": np.array([1, 2, 3, 4, 4]),
}


def names(node: NodeUnderTest, headers: dict[str, str], query: str = "") -> list[str]:
    answer = node.client.get(f"/v1/datasets{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == len(answer.json()["items"])
    return [item["name"] for item in answer.json()["items"]]


def stored(node: NodeUnderTest, dataset_id: str) -> Dataset:
    with node.node.database.read() as db:
        return db.get_one(Dataset, dataset_id)


def test_published_tensors_are_stored_bit_for_bit_with_the_entity_column_kept_apart(
    node: NodeUnderTest,
) -> None:
    said = publish(node, node.as_("bob"), WARD, entity="mother", bounds={"weight": {"low": 0.5, "high": 6}})
    assert [(item["name"], item["dtype"], item["shape"]) for item in said["tensors"]] == [
        ("weight", "float64", [5]),
        ("height", "float64", [5]),
    ] or {item["name"] for item in said["tensors"]} == {"weight", "height"}
    assert (said["rows"], said["entity"], said["min_rows"]) == (5, "mother", 10)
    dataset = stored(node, said["id"])
    values = load_file(storage.tensors_path(node.node, dataset))
    assert set(values) == {"weight", "height"}
    assert np.array_equal(values["weight"], WARD["weight"])
    path = storage.entity_path(node.node, dataset)
    assert path is not None
    ids = load_file(path)["entity"]
    assert ids.shape == (5, 16)
    assert len(np.unique(ids, axis=0)) == 4
    assert np.array_equal(ids[3], ids[4])
