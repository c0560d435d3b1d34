"""Parameters on their way to nodes: small ones in the message itself, large ones as an upload."""

import contextlib
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from gridward.client import wire
from gridward.client.payload import Payload, pack_tensors_at
from gridward.client.transport import Transport
from gridward.client.uploads import upload
from gridward.core.errors import GridError
from gridward.core.schemas.tensor import Tensor
from gridward.core.schemas.trainings import INLINE_BYTES


@dataclass(frozen=True, slots=True)
class Sent:
    """How parameters reach one node: as tensors of the message, or as an upload that it holds."""

    inline: tuple[Tensor, ...] = ()
    upload_id: str | None = None
    uploaded_bytes: int = 0


class Parcel:
    """The same parameters for several nodes, from many threads. Cost: one file, however many nodes."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._payload: Payload | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def send(self, node: Transport, limit: Callable[[float], float] = float) -> Sent:
        """Bring the parameters to a node, or write them for its message; ``limit``, cuts: see ``upload``."""
        if sum(value.numel() * value.element_size() for value in self._tensors.values()) <= INLINE_BYTES:
            return Sent(tuple(wire.encode(name, value) for name, value in self._tensors.items()))
        payload = self._packed()
        return Sent(upload_id=upload(node, payload, "parameters", limit), uploaded_bytes=payload.size_bytes)

    def _packed(self) -> Payload:
        with self._lock:
            if self._payload is None:
                self._folder = tempfile.TemporaryDirectory(prefix="gridward-")
                self._payload = pack_tensors_at(
                    Path(self._folder.name) / "parameters.safetensors", self._tensors
                )
            return self._payload


def take_back(node: Transport, upload_id: str) -> None:
    """Let a node drop an upload that was not used; whether it does changes nothing here."""
    with contextlib.suppress(GridError):
        node.send("DELETE", f"/v1/uploads/{upload_id}")
