"""Every format in, the same stored tensors out; everything else refused."""

import contextlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from gridward.api.formats.columns import Choice
from gridward.api.formats.read import Limits, convert, find
from gridward.core.errors import UploadRefusedError
from gridward.core.schemas.tensor import StoredAs
from gridward.core.schemas.uploads import MediaType
from tests.support.files import Arrays, npy, npz, parquet, safetensors

LIMITS = Limits(tensors=64, size_bytes=2**20)
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")


def read(
    folder: Path,
    content: bytes,
    media_type: MediaType,
    *,
    columns: list[str] | None = None,
    entity: str | None = None,
    types: Mapping[str, StoredAs] = MappingProxyType({}),
    only: frozenset[str] | None = None,
    limits: Limits = LIMITS,
) -> Arrays:
    source = folder / "source"
    source.write_bytes(content)
    specs = convert(
        source,
        media_type,
        folder / "values",
        folder / "entities",
        columns=columns,
        choice=Choice(entity, types, only),
        entity_secret=b"s" * 32,
        limits=limits,
    )
    stored = load_file(folder / "values")
    assert {name: (spec.dtype, spec.shape) for name, spec in specs.items()} == {
        name: (array.dtype.name, array.shape) for name, array in stored.items()
    }
    return stored


def same(found: Arrays, wanted: Arrays) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


TENSORS = st.integers(1, 5).flatmap(
    lambda rows: st.dictionaries(
        st.text(st.characters(categories=["L", "N", "S", "P"], codec="utf-8"), min_size=1, max_size=8),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: hnp.arrays(dtype, st.lists(st.integers(0, 4), max_size=2).map(lambda r: (rows, *r)))
        ),
        min_size=1,
        max_size=4,
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(arrays=TENSORS)
def test_safetensors_come_back_bit_for_bit(tmp_path: Path, arrays: Arrays) -> None:
    same(read(tmp_path, safetensors(arrays), MediaType.SAFETENSORS), arrays)


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_comes_back_in_either_memory_order(tmp_path: Path, compressed: bool) -> None:
    arrays: Arrays = {
        "images": np.arange(24, dtype=np.uint8).reshape(4, 2, 3),
        "labels": np.arange(4),
        "f": np.asfortranarray(np.arange(8.0).reshape(4, 2)),
    }
    same(read(tmp_path, npz(arrays, compressed=compressed), MediaType.NUMPY_ZIP), arrays)


def test_npy_is_one_tensor_or_named_columns(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    same(read(tmp_path, npy(array), MediaType.NUMPY), {"data": array})
    cut = read(tmp_path, npy(array), MediaType.NUMPY, columns=["a", "b"])
    same(cut, {"a": array[:, 0], "b": array[:, 1]})


def test_parquet_comes_back_over_many_row_groups_with_missing_values_as_nan(tmp_path: Path) -> None:
    content = parquet(
        {
            "i": list(range(100)),
            "f": pa.array([None if n % 10 == 3 else n / 2 for n in range(100)], pa.float32()),
            "m": pa.array([None if n == 99 else n for n in range(100)], pa.int64()),
            "b": [n % 2 == 0 for n in range(100)],
        }
    )
    floats = np.arange(100, dtype=np.float32) / 2
    floats[3::10] = np.nan
    missing = np.arange(100.0)
    missing[99] = np.nan
    wanted: Arrays = {"i": np.arange(100), "f": floats, "m": missing, "b": np.arange(100) % 2 == 0}
    same(read(tmp_path, content, MediaType.PARQUET), wanted)


def test_csv_comes_back_with_missing_values_as_nan(tmp_path: Path) -> None:
    content = b"weight,smokes,children\n3.5,true,1\n,false,2\n4.1,true,3\n"
    wanted: Arrays = {
        "weight": np.array([3.5, np.nan, 4.1]),
        "smokes": np.array([True, False, True]),
        "children": np.array([1, 2, 3]),
    }
    same(read(tmp_path, content, MediaType.CSV), wanted)


def test_a_csv_column_that_turns_out_to_hold_fractions_after_a_megabyte_is_read(tmp_path: Path) -> None:
    lines = ["x"] + [str(number) for number in range(200_000)] + ["0.5"]
    limits = Limits(tensors=1, size_bytes=2**22)
    found = read(tmp_path, "\n".join(lines).encode(), MediaType.CSV, limits=limits)
    assert found["x"].dtype == np.float64
    assert (len(found["x"]), found["x"][-1]) == (200_001, 0.5)


@pytest.mark.parametrize(
    ("given_dtype", "stored"),
    [("float16", "float32"), ("int8", "int32"), ("int16", "int32"), ("uint16", "int32"), ("uint32", "int64")],
)
def test_smaller_numbers_are_stored_exactly_in_a_wider_type(
    tmp_path: Path, given_dtype: str, stored: str
) -> None:
    kind = np.finfo(given_dtype) if given_dtype == "float16" else np.iinfo(given_dtype)
    array = np.array([kind.min, 0, kind.max], dtype=given_dtype)
    same(read(tmp_path, npy(array), MediaType.NUMPY), {"data": array.astype(stored)})
    same(read(tmp_path, safetensors({"x": array}), MediaType.SAFETENSORS), {"x": array.astype(stored)})
    if given_dtype != "float16":
        same(read(tmp_path, parquet({"x": array}), MediaType.PARQUET), {"x": array.astype(stored)})


@pytest.mark.parametrize("media_type", [MediaType.CSV, MediaType.PARQUET, MediaType.NUMPY_ZIP])
def test_an_entity_column_of_text_is_never_stored_as_text(tmp_path: Path, media_type: MediaType) -> None:
    names = ["Ada Lovelace", "Grace Hopper", "Ada Lovelace"]
    content = {
        MediaType.CSV: b"who,x\n" + b"".join(f"{name},{n}\n".encode() for n, name in enumerate(names)),
        MediaType.PARQUET: parquet({"who": names, "x": [0, 1, 2]}),
        MediaType.NUMPY_ZIP: npz({"who": np.array(names), "x": np.arange(3)}),
    }[media_type]
    assert set(read(tmp_path, content, media_type, entity="who")) == {"x"}
    ids = load_file(tmp_path / "entities")["entity"]
    assert (ids[0] == ids[2]).all()
    assert not (ids[0] == ids[1]).all()
    stored = (tmp_path / "entities").read_bytes() + (tmp_path / "values").read_bytes()
    assert b"Lovelace" not in stored


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(np.zeros(2**20)))
    return file.getvalue()


def huge_header() -> bytes:
    """An array of 8 TB, it says, in 200 bytes."""
    return npy(np.zeros(1)).replace(b"(1,)", b"(10**12,)".replace(b"10**12", b"1000000000000"))


def liar() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", huge_header())
    return file.getvalue()


def two_of_a_name() -> bytes:
    file = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", npy(np.zeros(1)))
        archive.writestr("x.npy", npy(np.ones(1)))
    return file.getvalue()


REFUSED: dict[str, tuple[bytes, MediaType, dict[str, Any]]] = {
    "zip bomb": (bomb(), MediaType.NUMPY_ZIP, {}),
    "huge header": (huge_header(), MediaType.NUMPY, {}),
    "huge header in a zip": (liar(), MediaType.NUMPY_ZIP, {}),
    "cut short": (npy(np.arange(99.0))[:-1], MediaType.NUMPY, {}),
    "scalar": (npy(np.array(1.0)), MediaType.NUMPY, {}),
    "no rows": (npy(np.zeros((0, 3))), MediaType.NUMPY, {}),
    "complex": (npy(np.zeros(3, complex)), MediaType.NUMPY, {}),
    "text": (npy(np.array(["a"])), MediaType.NUMPY, {}),
    "dates": (npy(np.zeros(3, "datetime64[s]")), MediaType.NUMPY, {}),
    "records": (npy(np.zeros(3, [("a", "f8")])), MediaType.NUMPY, {}),
    "uint64": (npy(np.zeros(3, np.uint64)), MediaType.NUMPY, {}),
    "nine dimensions": (npy(np.zeros((1,) * 9)), MediaType.NUMPY, {}),
    "wrong columns": (npy(np.zeros((2, 3))), MediaType.NUMPY, {"columns": ["a", "b"]}),
    "columns twice": (npy(np.zeros((2, 2))), MediaType.NUMPY, {"columns": ["a", "a"]}),
    "rows differ": (npz({"a": np.zeros(2), "b": np.zeros(3)}), MediaType.NUMPY_ZIP, {}),
    "one tensor too many": (npz({f"t{n}": np.zeros(1) for n in range(65)}), MediaType.NUMPY_ZIP, {}),
    "name with a line break": (safetensors({"a\nb": np.zeros(1)}), MediaType.SAFETENSORS, {}),
    "nothing": (safetensors({}), MediaType.SAFETENSORS, {}),
    "only entities": (b"who\n1\n", MediaType.CSV, {"entity": "who"}),
    "no such entity": (b"x\n1\n", MediaType.CSV, {"entity": "who"}),
    "a row without entity": (
        parquet({"who": ["a", None], "x": [1, 2]}),
        MediaType.PARQUET,
        {"entity": "who"},
    ),
    "csv with text": (b"x,who\n1,Ada\n", MediaType.CSV, {}),
    "csv with ragged lines": (b"a,b\n1,2\n3\n", MediaType.CSV, {}),
    "csv with a name twice": (b"a,a\n1,2\n", MediaType.CSV, {}),
    "csv without rows": (b"a,b\n", MediaType.CSV, {}),
    "parquet with lists": (parquet({"x": [[1], [2, 3]]}), MediaType.PARQUET, {}),
    "parquet with text": (parquet({"x": ["a"]}), MediaType.PARQUET, {}),
    "safetensors cut short": (safetensors({"x": np.arange(9.0)})[:-1], MediaType.SAFETENSORS, {}),
    "npz with other files": (bomb().replace(b"x.npy", b"x.pkl"), MediaType.NUMPY_ZIP, {}),
    "npz with a name twice": (two_of_a_name(), MediaType.NUMPY_ZIP, {}),
    "too many bytes": (npy(np.zeros(2**17 + 1)), MediaType.NUMPY, {}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(tmp_path: Path, what: str) -> None:
    content, media_type, options = REFUSED[what]
    with pytest.raises(UploadRefusedError):
        read(tmp_path, content, media_type, **options)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_fails_otherwise(
    tmp_path: Path, data: st.DataObject
) -> None:
    arrays: Arrays = {"a": np.arange(6.0), "b": np.arange(6)}
    media_type, content = data.draw(
        st.sampled_from(
            [
                (MediaType.SAFETENSORS, safetensors(arrays)),
                (MediaType.NUMPY, npy(arrays["a"])),
                (MediaType.NUMPY_ZIP, npz(arrays)),
                (MediaType.NUMPY_ZIP, npz(arrays, compressed=True)),
                (MediaType.PARQUET, parquet({"a": arrays["a"], "b": arrays["b"]})),
                (MediaType.CSV, b"a,b\n1,2.5\n3,4\n"),
            ]
        )
    )
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UploadRefusedError):
        read(tmp_path, bytes(damaged), media_type)


# --- types chosen by the publisher ---

TABLE = b"mother,weight,twins,note\nm1,3.5,1,calm\nm2,4,0,\nm3,,1,loud\n"


def test_chosen_types_are_stored_and_skipped_columns_are_not(tmp_path: Path) -> None:
    types: dict[str, StoredAs] = {"weight": "float32", "twins": "bool", "note": "skip"}
    found = read(tmp_path, TABLE, MediaType.CSV, entity="mother", types=types)
    same(
        found,
        {"weight": np.array([3.5, 4, np.nan], np.float32), "twins": np.array([True, False, True])},
    )


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([1.5]), "int64"),
        (np.array([np.nan]), "int32"),
        (np.array([2**40]), "int32"),
        (np.array([-1]), "uint8"),
        (np.array([2]), "bool"),
        (np.array([2**53 + 1]), "float64"),
        (np.array([1e300]), "float32"),
    ],
)
def test_a_type_that_cannot_hold_the_values_is_refused_by_column(
    tmp_path: Path, values: Any, dtype: StoredAs
) -> None:
    with pytest.raises(UploadRefusedError, match=f"'x' holds values that are not {dtype}"):
        read(tmp_path, safetensors({"x": values}), MediaType.SAFETENSORS, types={"x": dtype})


def test_a_type_for_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UploadRefusedError, match="no column 'y'"):
        read(tmp_path, npz({"x": np.ones(3)}), MediaType.NUMPY_ZIP, types={"y": "bool"})


def test_only_the_named_columns_are_stored(tmp_path: Path) -> None:
    found = read(tmp_path, TABLE, MediaType.CSV, only=frozenset({"twins"}), types={"twins": "int32"})
    same(found, {"twins": np.array([1, 0, 1], np.int32)})


def found_in(folder: Path, content: bytes, media_type: MediaType) -> list[tuple[str, str | None, bool]]:
    (folder / "source").write_bytes(content)
    return [(one.name, one.dtype, one.missing) for one in find(folder / "source", media_type, LIMITS)]


def test_a_file_is_described_by_what_would_be_stored(tmp_path: Path) -> None:
    assert found_in(tmp_path, TABLE, MediaType.CSV) == [
        ("mother", None, False),
        ("weight", "float64", True),
        ("twins", "int64", False),
        ("note", None, False),
    ]
    columns: dict[str, list[Any]] = {"when": ["mon", "tue"], "n": [1, None]}
    assert found_in(tmp_path, parquet(columns), MediaType.PARQUET) == [
        ("when", None, False),
        ("n", "float64", True),
    ]
    arrays = {"x": np.ones((3, 2), np.float16)}
    assert found_in(tmp_path, safetensors(arrays), MediaType.SAFETENSORS) == [("x", "float32", False)]
    assert found_in(tmp_path, npz(arrays), MediaType.NUMPY_ZIP) == [("x", "float32", False)]
    assert found_in(tmp_path, npy(arrays["x"]), MediaType.NUMPY) == [("data", "float32", False)]


@pytest.mark.parametrize("media_type", list(MediaType))
def test_what_is_no_such_file_is_not_described(tmp_path: Path, media_type: MediaType) -> None:
    with pytest.raises(UploadRefusedError):
        found_in(tmp_path, b"", media_type)
