"""Small data files of every format, and their way onto a node."""

import hashlib
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from httpx2 import Response
from numpy.typing import NDArray
from safetensors.numpy import save

from gridward.core.schemas.uploads import MediaType
from tests.support.nodes import NodeUnderTest

Arrays = dict[str, NDArray[Any]]


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def npz(arrays: Arrays, *, compressed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def safetensors(arrays: Arrays) -> bytes:
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def parquet(columns: dict[str, list[Any] | NDArray[Any]]) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), file, row_group_size=7)
    return file.getvalue()


def upload(
    node: NodeUnderTest, headers: dict[str, str], content: bytes, media_type: MediaType, *, chunk: int = 2**20
) -> str:
    """Send a file in chunks and return the upload's id."""
    announced = {
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "media_type": media_type,
    }
    made = node.client.post("/v1/uploads", json=announced, headers=headers)
    assert made.status_code == 201, made.text
    upload_id = str(made.json()["id"])
    for start in range(0, len(content), chunk):
        answer = send_chunk(node, headers, upload_id, start, content[start : start + chunk])
        assert answer.status_code == 200, answer.text
    return upload_id


def send_chunk(
    node: NodeUnderTest, headers: dict[str, str], upload_id: str, offset: int, chunk: bytes
) -> Response:
    sent = headers | {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
    return node.client.patch(f"/v1/uploads/{upload_id}", content=chunk, headers=sent)


def publish(node: NodeUnderTest, headers: dict[str, str], arrays: Arrays, **fields: Any) -> dict[str, Any]:
    """Publish arrays as a dataset and return what the node says; rows are entities unless one is named."""
    upload_id = upload(node, headers, safetensors(arrays), MediaType.SAFETENSORS)
    unit = {} if "entity" in fields else {"rows_are_entities": True}
    body = {"name": "births", "upload_id": upload_id} | unit | fields
    answer = node.client.post("/v1/datasets", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    described: dict[str, Any] = answer.json()
    return described
