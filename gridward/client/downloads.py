"""Fetch parameters from a node as files: by range after a cut, checked by hash, mapped and not read."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

import torch
from safetensors import SafetensorError, safe_open

from gridward.client.transport import Transport
from gridward.core.errors import NodeUnreachableError, TooLargeError

_STALLS: Final = 3
_PAUSE_S: Final = 0.5
_QUIET_S: Final = 30.0


def fetch_tensors(
    node: Transport,
    path: str,
    *,
    size_bytes: int | None = None,
    limit: Callable[[float], float] = float,
) -> dict[str, torch.Tensor]:
    """Download a safetensors file and map its tensors; they are in memory only as far as they are read.

    Gives up with ``NodeUnreachableError`` after three attempts in a row that brought nothing, or where the
    bytes have not the hash that the node names. Raises what the node refuses with, and ``TooLargeError``
    for more than ``size_bytes``. ``limit`` gives the seconds that the node may be silent for, up to those it
    is asked for, and is asked for every chunk; what it raises ends all.
    """
    with _temporary() as kept:
        etag = _download(node, path, kept, size_bytes, limit)
        _require_whole(node, kept, etag)
        try:
            with safe_open(kept, framework="pt") as found:
                return {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118 (no mapping)
        except (SafetensorError, ValueError) as why:
            raise NodeUnreachableError(f"{node.label} sent no readable safetensors file") from why


def _download(
    node: Transport, path: str, kept: Path, size_bytes: int | None, limit: Callable[[float], float]
) -> str:
    etag, stalls = "", 0
    with kept.open("wb") as file:
        while True:
            before, timeout_s = file.tell(), limit(_QUIET_S)
            try:
                with node.streamed(path, _resumed(file, etag), timeout_s) as answer:
                    if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
                        file.seek(0)
                        file.truncate()
                    etag = answer.headers.get("etag", "")
                    for chunk in answer.iter_raw():
                        limit(_QUIET_S)
                        if size_bytes is not None and file.tell() + len(chunk) > size_bytes:
                            raise TooLargeError(
                                f"{node.label} sent more than the {size_bytes} bytes it announced"
                            )
                        file.write(chunk)
                return etag
            except NodeUnreachableError:
                stalls = 0 if file.tell() > before else stalls + 1
                if stalls == _STALLS:
                    raise
                node.pause(_PAUSE_S)


def _resumed(file: BinaryIO, etag: str) -> dict[str, str]:
    if not etag or not file.tell():
        return {}
    return {"range": f"bytes={file.tell()}-", "if-range": etag}


def _require_whole(node: Transport, path: Path, etag: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if etag.strip('"') != digest:
        raise NodeUnreachableError(f"{node.label} sent other bytes than it announced; try again")


@contextmanager
def _temporary() -> Iterator[Path]:
    handle, name = tempfile.mkstemp(suffix=".safetensors")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        with suppress(PermissionError):  # a system that keeps mapped files leaves it to its own clean-up
            Path(name).unlink(missing_ok=True)
