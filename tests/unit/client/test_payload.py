import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from gridward.client.payload import Data, Payload, pack
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.uploads import MediaType

COLUMNS = {"weight": [3.5, 3.7], "height": [47.3, 48.1]}


def content(payload: Payload) -> bytes:
    raw = payload.read(0, payload.size_bytes)
    assert len(raw) == payload.size_bytes
    assert hashlib.sha256(raw).hexdigest() == payload.sha256
    return raw


def tensors(payload: Payload) -> dict[str, torch.Tensor]:
    assert payload.media_type is MediaType.SAFETENSORS
    return safetensors.torch.load(content(payload))


def array(payload: Payload) -> np.ndarray:
    assert payload.media_type is MediaType.NUMPY
    return np.load(io.BytesIO(content(payload)), allow_pickle=False)


def parquet(payload: Payload) -> pa.Table:
    assert payload.media_type is MediaType.PARQUET
    return pq.read_table(io.BytesIO(content(payload)))


@pytest.mark.parametrize("data", [torch.ones(3, 2), np.ones((3, 2), dtype=np.float32)])
def test_a_tensor_or_array_travels_as_one_tensor(data: Data) -> None:
    assert array(pack(data)).tolist() == [[1.0, 1.0]] * 3


def test_columns_travel_as_a_table_in_their_order_and_types() -> None:
    columns = {"weight": np.array([3.5, 3.7]), "twin": torch.tensor([True, False]), "n": [1, 2]}
    table = parquet(pack(columns))
    assert table.to_pydict() == {"weight": [3.5, 3.7], "twin": [True, False], "n": [1, 2]}
    assert [str(kind) for kind in table.schema.types] == ["double", "bool", "int64"]


def test_tensors_that_share_their_rows_travel_as_one_tensor_each() -> None:
    packed = tensors(pack({"images": torch.ones(2, 4, dtype=torch.float16), "labels": np.array([1, 2])}))
    assert packed["images"].dtype == torch.float32
    assert packed["labels"].tolist() == [1, 2]


def test_a_text_column_makes_the_whole_a_table() -> None:
    table = parquet(pack({**COLUMNS, "mother_id": ["a", "b"]}))
    assert table.to_pydict() == {**COLUMNS, "mother_id": ["a", "b"]}


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(COLUMNS, index=["u", "v"]), pl.DataFrame(COLUMNS), pa.table(COLUMNS)]
)
def test_a_frame_of_any_arrow_library_travels_without_its_index(frame: Data) -> None:
    assert parquet(pack(frame)).to_pydict() == COLUMNS


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npy", ".npz", ".safetensors"])
def test_a_file_is_hashed_and_read_in_stretches(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    path.write_bytes(bytes(range(256)))
    payload = pack(str(path))
    assert content(payload) == bytes(range(256))
    assert payload.read(250, 100) == bytes(range(250, 256))


@pytest.mark.parametrize("name", ["model.pt", "data.pkl", "data"])
def test_a_file_that_may_be_pickle_is_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InvalidInputError, match="pickle is never read"):
        pack(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("/no/such/file.csv", "no file"),
        ({}, "no columns"),
        (np.array(["a"]), "only numbers"),
        (np.array([object()]), "only numbers"),
        ({"images": np.ones((2, 2)), "who": ["a", "b"]}, "text columns"),
        ({"a": ["x", "y"], "b": [1, 2, 3]}, "do not make a table"),
        (3.5, "cannot publish a float"),
    ],
)
def test_what_cannot_travel_is_refused_with_the_reason(data: Data, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        pack(data)


def test_a_read_only_or_byte_swapped_array_is_copied_not_shared() -> None:
    swapped = np.arange(3, dtype=">f4")
    swapped.flags.writeable = False
    assert array(pack(swapped)).tolist() == [0.0, 1.0, 2.0]
