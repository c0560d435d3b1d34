"""Datasets over the node's routes: what is published is there, and only for those who may know."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sqlmodel import select

from gridward.api import storage
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.datasets import BlobUse, Dataset, Upload
from gridward.api.tables.rules import AccessRule
from gridward.core.schemas.uploads import MediaType
from tests.support.files import Arrays, npy, publish, safetensors, upload
from tests.support.nodes import NodeUnderTest

WARD: Arrays = {
    "weight": np.array([3.5, 3.7, 3.9, 4.1, 4.1]),
    "height": np.array([47.3, 48.1, 50.0, 52.3, 49.7]),
    "mother": np.array([1, 2, 3, 4, 4]),
}
VERBS = ("discover", "describe", "compute", "raw", "train", "export_model", "approve")


def names(node: NodeUnderTest, headers: dict[str, str], **query: Any) -> list[str]:
    answer = node.client.get("/v1/datasets", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == len(answer.json()["items"])
    return [item["name"] for item in answer.json()["items"]]


def get(node: NodeUnderTest, headers: dict[str, str], dataset_id: str) -> Any:
    return node.client.get(f"/v1/datasets/{dataset_id}", headers=headers)


def stored(node: NodeUnderTest, dataset_id: str) -> Dataset:
    with node.node.database.read() as db:
        return db.get_one(Dataset, dataset_id)


def rows(node: NodeUnderTest, table: type[Any]) -> int:
    with node.node.database.read() as db:
        return len(db.exec(select(table)).all())


def blob_files(node: NodeUnderTest) -> int:
    return sum(path.is_file() for path in (node.node.settings.data_dir / "blobs").rglob("*"))


def test_tensors_are_stored_bit_for_bit_and_the_entity_column_apart(node: NodeUnderTest) -> None:
    bounds = {"weight": {"low": 0.5, "high": 6.0}}
    said = publish(node, node.as_("bob"), WARD, entity="mother", bounds=bounds, min_rows=5)
    assert {item["name"]: (item["dtype"], item["shape"]) for item in said["tensors"]} == {
        "weight": ("float64", [5]),
        "height": ("float64", [5]),
    }
    assert (said["rows"], said["entity"], said["min_rows"], said["bounds"]) == (5, "mother", 5, bounds)
    assert said["published_by"] == "bob"
    dataset = stored(node, said["id"])
    values = load_file(storage.tensors_path(node.node, dataset))
    assert set(values) == {"weight", "height"}
    assert np.array_equal(values["weight"], WARD["weight"])
    path = storage.entity_path(node.node, dataset)
    assert path is not None
    ids = load_file(path)["entity"]
    assert (ids.shape, ids.dtype.name) == ((5, 16), "uint8")
    assert len(np.unique(ids, axis=0)) == 4
    assert np.array_equal(ids[3], ids[4])


def test_a_person_has_one_name_on_a_node_whatever_the_file_and_another_on_every_other_node(
    node: NodeUnderTest,
) -> None:
    bob = node.as_("bob")
    first = publish(node, bob, WARD, entity="mother", name="a")
    csv = b"mother,age\n4,30\n1,31\n"
    upload_id = upload(node, bob, csv, MediaType.CSV)
    body = {"name": "b", "upload_id": upload_id, "entity": "mother"}
    second = node.client.post("/v1/datasets", json=body, headers=bob).json()

    def ids(said: dict[str, Any]) -> Any:
        path = storage.entity_path(node.node, stored(node, said["id"]))
        assert path is not None
        return load_file(path)["entity"]

    assert np.array_equal(ids(second)[0], ids(first)[4])
    assert np.array_equal(ids(second)[1], ids(first)[0])
    assert node.node.keys.entity_secret not in ids(first).tobytes()


def test_an_array_is_cut_into_named_columns(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    upload_id = upload(node, bob, npy(np.arange(12.0).reshape(6, 2)), MediaType.NUMPY)
    body = {"name": "ward", "upload_id": upload_id, "columns": ["weight", "height"]}
    said = node.client.post("/v1/datasets", json=body, headers=bob).json()
    values = load_file(storage.tensors_path(node.node, stored(node, said["id"])))
    assert np.array_equal(values["height"], np.arange(1.0, 12, 2))


def test_an_upload_is_used_up_and_its_bytes_are_gone(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    upload_id = upload(node, bob, safetensors(WARD), MediaType.SAFETENSORS)
    body = {"name": "ward", "upload_id": upload_id}
    assert node.client.post("/v1/datasets", json=body, headers=bob).status_code == 201
    again = node.client.post("/v1/datasets", json=body | {"name": "again"}, headers=bob)
    assert again.json()["code"] == "object_not_found"
    assert (rows(node, Upload), rows(node, BlobUse), blob_files(node)) == (0, 1, 1)


def test_anothers_upload_cannot_be_published(node: NodeUnderTest) -> None:
    upload_id = upload(node, node.as_("bob"), safetensors(WARD), MediaType.SAFETENSORS)
    body = {"name": "ward", "upload_id": upload_id}
    refused = node.client.post("/v1/datasets", json=body, headers=node.as_("cleo", "data_officer"))
    assert refused.json()["code"] == "object_not_found"


def test_a_scientist_may_not_publish(node: NodeUnderTest) -> None:
    refused = node.client.post(
        "/v1/datasets", json={"name": "ward", "upload_id": "upl-0"}, headers=node.as_("dana")
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "send_not_permitted")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"bounds": {"age": {"low": 0, "high": 1}}}, "invalid_input"),
        ({"bounds": {"weight": {"low": 1, "high": 1}}}, "invalid_input"),
        ({"entity": "nobody"}, "upload_refused"),
        ({"columns": ["a"]}, "upload_refused"),
        ({"name": "../x"}, "invalid_input"),
        ({"tags": ["no hash"]}, "invalid_input"),
        ({"access": {"raw": ["Bob; DROP TABLE users"]}}, "invalid_input"),
        ({"access": {"admin": ["bob"]}}, "invalid_input"),
        ({"min_rows": 0}, "invalid_input"),
        ({"published_by": "eve"}, "invalid_input"),
    ],
)
def test_a_refused_publication_leaves_the_upload_and_nothing_else(
    node: NodeUnderTest, fields: dict[str, Any], code: str
) -> None:
    bob = node.as_("bob")
    upload_id = upload(node, bob, safetensors(WARD), MediaType.SAFETENSORS)
    body = {"name": "ward", "upload_id": upload_id}
    refused = node.client.post("/v1/datasets", json=body | fields, headers=bob)
    assert refused.json()["code"] == code, refused.text
    assert (rows(node, Dataset), rows(node, BlobUse), blob_files(node)) == (0, 0, 1)
    assert node.client.post("/v1/datasets", json=body, headers=bob).status_code == 201


# --- who may know ---


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("entry", "finders"),
    [
        ("ana", {"ana"}),
        ("@signed-in", {"ana", "eve", "gus"}),
        ("role:guest", {"gus"}),
        ("ana@grid", set()),
        ("role:owner", set()),
    ],
)
def test_a_dataset_is_found_by_those_whom_a_list_names(
    node: NodeUnderTest, verb: str, entry: str, finders: set[str]
) -> None:
    said = publish(node, node.as_("bob"), WARD, access={verb: [entry]})
    people = {"ana": "data_scientist", "eve": "admin", "gus": "guest"}
    for person, role in people.items():
        headers = node.as_(person, role)
        found = person in finders
        assert names(node, headers) == (["births"] if found else [])
        answer = get(node, headers, said["id"])
        assert answer.status_code == (200 if found else 404)
        if found:
            assert answer.json()["verbs"] == list(dict.fromkeys(("discover", "describe", verb)))
            assert answer.json()["access"] is None
    assert get(node, node.as_("bob"), said["id"]).json()["verbs"] == list(VERBS)


def test_without_rules_nobody_but_publisher_and_owner_sees_anything(node: NodeUnderTest) -> None:
    cleo = node.as_("cleo", "data_officer")
    publish(node, cleo, WARD)
    assert names(node, cleo) == names(node, node.as_("bob")) == ["births"]
    for person, role in (("ana", "data_scientist"), ("eve", "admin"), ("carl", "data_officer")):
        assert names(node, node.as_(person, role)) == []


def test_a_hidden_dataset_and_a_missing_one_give_the_same_refusals(node: NodeUnderTest) -> None:
    hidden = publish(node, node.as_("bob"), WARD)["id"]
    ana = node.as_("ana")
    for method, body in (("GET", None), ("PATCH", {"min_rows": 1}), ("DELETE", None)):
        answers = []
        for name in (hidden, "ds-0"):
            answer = node.client.request(method, f"/v1/datasets/{name}", json=body, headers=ana)
            problem = answer.json()
            answers.append((answer.status_code, problem["code"], problem["detail"].replace(name, "ID")))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404


def test_a_name_tells_a_publisher_nothing_of_others_datasets(node: NodeUnderTest) -> None:
    publish(node, node.as_("bob"), WARD)
    publish(node, node.as_("cleo", "data_officer"), WARD)
    assert names(node, node.as_("bob")) == ["births", "births"]


def test_ones_own_name_is_taken(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    publish(node, bob, WARD)
    upload_id = upload(node, bob, safetensors(WARD), MediaType.SAFETENSORS)
    refused = node.client.post("/v1/datasets", json={"name": "births", "upload_id": upload_id}, headers=bob)
    assert (refused.status_code, refused.json()["code"]) == (409, "already_exists")


def test_datasets_are_found_by_all_of_their_tags_and_pages_add_up(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    publish(node, bob, WARD, name="a", tags=["#x", "#y_1"])
    publish(node, bob, WARD, name="b", tags=["#x", "#yz1"])
    assert names(node, bob, tag=["#x"]) == ["a", "b"]
    assert names(node, bob, tag=["#x", "#y_1"]) == ["a"]
    assert names(node, bob, tag=["#y"]) == []
    assert names(node, bob, name="b") == ["b"]
    page = node.client.get("/v1/datasets", params={"limit": 1, "offset": 1}, headers=bob).json()
    assert ([item["name"] for item in page["items"]], page["total"]) == (["b"], 2)


# --- types, descriptions of uploads, versions ---


def test_the_publisher_chooses_types_and_leaves_columns_out(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    said = publish(node, bob, WARD, types={"weight": "float32", "mother": "skip"})
    assert {one["name"]: one["dtype"] for one in said["tensors"]} == {
        "height": "float64",
        "weight": "float32",
    }


def test_an_upload_is_described_to_its_sender_alone_and_not_before_it_is_complete(
    node: NodeUnderTest,
) -> None:
    bob = node.as_("bob")
    upload_id = upload(node, bob, b"id,weight\na,3.5\nb,\n", MediaType.CSV)
    path = f"/v1/uploads/{upload_id}/content"
    assert node.client.get(path, headers=bob).json()["columns"] == [
        {"name": "id", "kind": "string", "dtype": None, "shape": [2], "missing": False},
        {"name": "weight", "kind": "double", "dtype": "float64", "shape": [2], "missing": True},
    ]
    cleo = node.as_("cleo", "data_officer")
    assert node.client.get(path, headers=cleo).json()["code"] == "object_not_found"
    announced = {"size_bytes": 9, "sha256": "0" * 64, "media_type": "text/csv"}
    open_id = node.client.post("/v1/uploads", json=announced, headers=bob).json()["id"]
    assert node.client.get(f"/v1/uploads/{open_id}/content", headers=bob).json()["code"] == "conflict"


def replaced(node: NodeUnderTest, headers: dict[str, str], dataset_id: str, content: bytes) -> Any:
    upload_id = upload(node, headers, content, MediaType.CSV)
    body = {"upload_id": upload_id}
    return node.client.put(f"/v1/datasets/{dataset_id}/content", json=body, headers=headers)


def test_a_next_version_keeps_rules_and_columns_and_takes_the_new_rows(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    said = publish(node, bob, WARD, entity="mother", access={"compute": ["ana"]})
    content = b"height,note,weight,mother\n51,calm,3,7\n52,,4,8\n"
    answer = replaced(node, bob, said["id"], content)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["version"], answer.json()["rows"]) == (2, 2)
    assert answer.json()["access"] == said["access"]
    row = stored(node, said["id"])
    values = load_file(storage.tensors_path(node.node, row))
    assert {name: list(array) for name, array in values.items()} == {"weight": [3, 4], "height": [51, 52]}
    assert values["weight"].dtype == np.float64
    assert (blob_files(node), rows(node, BlobUse)) == (2, 2)
    listed = node.client.get(f"/v1/datasets/{said['id']}/versions", headers=bob).json()["items"]
    assert [(one["version"], one["rows"], one["put_by"]) for one in listed] == [(2, 2, "bob"), (1, 5, "bob")]


def test_a_next_version_without_a_column_is_refused_and_nothing_changes(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    said = publish(node, bob, WARD)
    answer = replaced(node, bob, said["id"], b"height,weight\n51,3\n")
    assert (answer.status_code, answer.json()["code"]) == (422, "upload_refused")
    assert "'mother'" in answer.json()["detail"]
    assert get(node, bob, said["id"]).json() == said


def test_who_does_not_manage_a_dataset_neither_replaces_it_nor_sees_its_versions(node: NodeUnderTest) -> None:
    cleo = node.as_("cleo", "data_officer")
    said = publish(node, node.as_("bob"), WARD, access={"raw": ["cleo"]})
    assert replaced(node, cleo, said["id"], b"height\n1\n").json()["code"] == "not_authorized"
    path = f"/v1/datasets/{said['id']}/versions"
    assert node.client.get(path, headers=cleo).json()["code"] == "not_authorized"
    dora = node.as_("dora", "data_officer")
    assert node.client.get(path, headers=dora).json()["code"] == "object_not_found"


# --- change and delete ---


def test_rules_are_changed_by_publisher_and_owner_only_and_count_at_once(node: NodeUnderTest) -> None:
    cleo, ana = node.as_("cleo", "data_officer"), node.as_("ana")
    said = publish(node, cleo, WARD, access={"discover": ["ana"]})
    path = f"/v1/datasets/{said['id']}"
    refused = node.client.patch(path, json={"access": {"raw": ["ana"]}}, headers=ana)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_authorized")
    assert node.client.delete(path, headers=ana).json()["code"] == "not_authorized"
    changed = node.client.patch(
        path, json={"access": {"raw": ["ana", "ana"]}, "tags": ["#t"], "min_rows": 3}, headers=node.as_("bob")
    ).json()
    assert (changed["access"]["raw"], changed["access"]["discover"]) == (["ana"], [])
    assert (changed["tags"], changed["min_rows"], changed["description"]) == (["#t"], 3, said["description"])
    assert get(node, ana, said["id"]).json()["verbs"] == ["discover", "describe", "raw"]
    node.client.patch(path, json={"access": {}}, headers=cleo)
    assert get(node, ana, said["id"]).status_code == 404


def test_a_deleted_dataset_is_gone_with_its_values_unless_another_needs_them(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    first = publish(node, bob, WARD, name="a", access={"raw": ["ana"]})
    second = publish(node, bob, WARD, name="b")
    assert (blob_files(node), rows(node, BlobUse)) == (1, 2)
    assert node.client.delete(f"/v1/datasets/{first['id']}", headers=bob).status_code == 204
    assert (blob_files(node), rows(node, BlobUse), rows(node, AccessRule)) == (1, 1, 0)
    assert storage.tensors_path(node.node, stored(node, second["id"])).exists()
    assert node.client.delete(f"/v1/datasets/{second['id']}", headers=bob).status_code == 204
    assert (blob_files(node), rows(node, BlobUse), rows(node, Dataset)) == (0, 0, 0)


def test_publishing_changing_and_deleting_are_in_the_log(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    said = publish(node, bob, WARD)
    node.client.patch(f"/v1/datasets/{said['id']}", json={"access": {"raw": ["ana"]}}, headers=bob)
    node.client.delete(f"/v1/datasets/{said['id']}", headers=bob)
    with node.node.database.read() as db:
        log = [
            (row.actor, row.action) for row in db.exec(select(AuditEntry)).all() if row.subject == said["id"]
        ]
    assert log == [("bob", "publish_dataset"), ("bob", "change_dataset"), ("bob", "delete_dataset")]


def test_no_answer_holds_values(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    said = publish(node, bob, {"secret": np.array([123456.75] * 12)}, access={"raw": ["ana"]})
    pages = [get(node, bob, said["id"]).text, node.client.get("/v1/datasets", headers=bob).text]
    with node.node.database.read() as db:
        pages += [row.model_dump_json() for row in db.exec(select(Dataset)).all()]
    assert "123456" not in "".join(pages)
