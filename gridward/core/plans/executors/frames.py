"""Messages between a process and its workers: JSON, plan bytes and raw tensors; nothing that unpickles."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedReader, BufferedWriter
from typing import Any, Final

import torch
from torch import Tensor

from gridward.core.plans.dtypes import DTYPES, NAMES
from gridward.core.plans.plan import DType

_LENGTHS: Final = struct.Struct("<IQ")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: what it says, a plan's canonical bytes if it carries one, named tensors."""

    says: dict[str, Any]
    plan: bytes = b""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def write(stream: BufferedWriter, frame: Frame) -> None:
    """Send one message; tensors go from their own memory, without a copy if they are contiguous."""
    values = {name: value.detach().contiguous() for name, value in frame.tensors.items()}
    listed = [[name, NAMES[value.dtype], list(value.shape)] for name, value in values.items()]
    head = json.dumps({"says": frame.says, "tensors": listed}).encode()
    stream.write(_LENGTHS.pack(len(head), len(frame.plan)))
    stream.write(head)
    stream.write(frame.plan)
    for value in values.values():
        if value.numel():
            stream.write(value.numpy().data.cast("B"))
    stream.flush()


def read(stream: BufferedReader) -> Frame | None:
    """Receive one message; None at the end of the stream.

    Raises:
        EOFError: the stream ended inside a message.
    """
    start = stream.read(_LENGTHS.size)
    if not start:
        return None
    if len(start) < _LENGTHS.size:
        raise EOFError
    head_bytes, plan_bytes = _LENGTHS.unpack(start)
    head = json.loads(_exactly(stream, head_bytes))
    plan = bytes(_exactly(stream, plan_bytes))
    tensors = {name: _tensor(stream, DTYPES[DType(dtype)], shape) for name, dtype, shape in head["tensors"]}
    return Frame(head["says"], plan, tensors)


def _tensor(stream: BufferedReader, dtype: torch.dtype, shape: list[int]) -> Tensor:
    value = torch.empty(shape, dtype=dtype)
    if value.numel():
        _fill(stream, value.numpy().data.cast("B"))
    return value


def _exactly(stream: BufferedReader, length: int) -> bytearray:
    contents = bytearray(length)
    _fill(stream, memoryview(contents))
    return contents


def _fill(stream: BufferedReader, room: memoryview) -> None:
    if stream.readinto(room) != len(room):
        raise EOFError
