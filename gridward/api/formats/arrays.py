"""safetensors, .npy and .npz: named arrays, never pickle."""

import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors import safe_open

from gridward.api.formats.columns import WIDER, Choice, Content, Found, Piece, row_steps, stored_dtype
from gridward.api.formats.tensor_file import Spec
from gridward.core.errors import UploadRefusedError

_SOLE: Final = "data"
_HEADER_BYTES: Final = 10_000


def read_safetensors(path: Path, choice: Choice) -> Content:
    """Read a safetensors file; its own checks refuse headers that do not fit the bytes."""
    entity = choice.entity
    with safe_open(path, framework="numpy") as file:
        specs = {
            name: Spec(
                stored_dtype(name, file.get_slice(name)[:0].dtype), tuple(file.get_slice(name).get_shape())
            )
            for name in file.keys()  # noqa: SIM118 (not a mapping)
            if choice.takes(name) and _has_rows(name, file.get_slice(name).get_shape())
        }
        if entity is not None:
            _require_ids(entity, file.keys(), lambda: len(file.get_slice(entity).get_shape()))

    def pieces() -> Iterator[Piece]:
        with safe_open(path, framework="numpy") as file:
            for name, spec in specs.items():
                for rows in row_steps(spec.shape, 8):
                    yield name, rows.start, file.get_slice(name)[rows]

    def entities() -> Iterator[list[object]]:
        with safe_open(path, framework="numpy") as file:
            yield file.get_tensor(entity).tolist()

    return Content(specs, pieces, entities if entity else None)


def read_npy(path: Path, columns: list[str] | None, choice: Choice) -> Content:
    """Read one array: named `data`, or cut into named columns."""
    array = _mapped(path)
    if columns is None:
        arrays = {_SOLE: array}
    else:
        if array.ndim != 2 or array.shape[1] != len(columns) or len(set(columns)) != len(columns):
            raise UploadRefusedError(
                f"{len(columns)} different column names do not fit an array {array.shape}"
            )
        arrays = {name: array[:, place] for place, name in enumerate(columns)}
    return _of_arrays(arrays, choice)


def read_npz(path: Path, choice: Choice, max_bytes: int) -> Content:
    """Read a zip of .npy members. What it unpacks to is bounded before anything is unpacked."""
    return _of_arrays(_unpacked(path, max_bytes), choice)


def find_safetensors(path: Path) -> list[Found]:
    """Say what a safetensors file holds; reads its header only."""
    with safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return [_found(name, one[:0].dtype, tuple(one.get_shape())) for name, one in slices.items()]


def find_npy(path: Path) -> list[Found]:
    """Say what an .npy file holds; reads its header only."""
    array = _mapped(path)
    return [_found(_SOLE, array.dtype, array.shape)]


def find_npz(path: Path, max_bytes: int) -> list[Found]:
    """Say what a zip of .npy members holds."""
    arrays = _unpacked(path, max_bytes)
    return [_found(name, array.dtype, array.shape) for name, array in arrays.items()]


def _found(name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> Found:
    return Found(name, dtype.name, WIDER.get(dtype.name), shape)


def _mapped(path: Path) -> NDArray[np.generic]:
    # Not np.load: that also opens zips and pickles, whatever the file was announced as.
    array: NDArray[np.generic] = npy.open_memmap(path, mode="r", max_header_size=_HEADER_BYTES)
    return array


def _unpacked(path: Path, max_bytes: int) -> dict[str, NDArray[np.generic]]:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) != len(archive.infolist()) or any(
            not info.filename.endswith(".npy") for info in archive.infolist()
        ):
            raise UploadRefusedError("this is not an .npz archive of arrays")
        if sum(info.file_size for info in members.values()) > max_bytes:
            raise UploadRefusedError(f"the archive unpacks to more than {max_bytes} bytes")
        return {name: _member(archive, info) for name, info in members.items()}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[np.generic]:
    with archive.open(info) as file:
        shape, fortran, dtype = _npy_header(file)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > info.file_size:
            raise UploadRefusedError(f"'{info.filename}' is not a plain array")
        flat = np.frombuffer(file.read(), dtype)
    if flat.size != math.prod(shape):
        raise UploadRefusedError(f"'{info.filename}' is cut short")
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    readers: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[np.generic]]]] = {
        (1, 0): npy.read_array_header_1_0,
        (2, 0): npy.read_array_header_2_0,
    }
    reader = readers.get(npy.read_magic(file))
    if reader is None:
        raise UploadRefusedError("this version of .npy is not read here")
    return reader(file, max_header_size=_HEADER_BYTES)


def _of_arrays(arrays: dict[str, NDArray[np.generic]], choice: Choice) -> Content:
    entity = choice.entity
    if entity is not None:
        _require_ids(entity, arrays, lambda: arrays[entity].ndim)
    specs = {
        name: Spec(stored_dtype(name, array.dtype), array.shape)
        for name, array in arrays.items()
        if choice.takes(name) and _has_rows(name, array.shape)
    }

    def pieces() -> Iterator[Piece]:
        for name, spec in specs.items():
            for rows in row_steps(spec.shape, 8):
                yield name, rows.start, np.asarray(arrays[name][rows])

    def entities() -> Iterator[list[object]]:
        yield arrays[entity or ""].tolist()

    return Content(specs, pieces, entities if entity else None)


def _has_rows(name: str, shape: tuple[int, ...] | list[int]) -> bool:
    if not 1 <= len(shape) <= 8:
        raise UploadRefusedError(
            f"'{name}' has {len(shape)} dimensions; the first counts rows, at most 8 in all"
        )
    return True


def _require_ids(entity: str, names: "object", dimensions: Callable[[], int]) -> None:
    if entity not in list(names) or dimensions() != 1:  # type: ignore[call-overload]
        raise UploadRefusedError(f"there is no one-dimensional '{entity}' to name the entities")
