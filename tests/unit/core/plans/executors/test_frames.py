"""Frames carry words, a plan and tensors from one process to another, and nothing else."""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.plans.dtypes import DTYPES
from gridward.core.plans.executors.frames import Frame, read, write


class Pipe(io.BytesIO):
    """A buffer that is not lost when its writer is done."""

    def close(self) -> None:
        """Stay."""


def sent(frame: Frame) -> bytes:
    pipe = Pipe()
    with io.BufferedWriter(pipe) as stream:  # type: ignore[arg-type]
        write(stream, frame)
    return pipe.getvalue()


def received(contents: bytes) -> Frame | None:
    return read(io.BufferedReader(io.BytesIO(contents)))  # type: ignore[arg-type]


@given(
    st.sampled_from(list(DTYPES.values())), st.lists(st.integers(0, 4), max_size=4), st.binary(max_size=50)
)
def test_what_is_sent_is_received(dtype: torch.dtype, shape: list[int], plan: bytes) -> None:
    value = (torch.randn(shape) * 3).to(dtype)
    frame = received(sent(Frame({"a": [1, None]}, plan, {"x/y.z": value, "again": value})))
    assert frame is not None
    assert frame.says == {"a": [1, None]}
    assert frame.plan == plan
    assert torch.equal(frame.tensors["x/y.z"], value)
    assert frame.tensors["again"].dtype is dtype


def test_rows_that_are_not_contiguous_arrive_in_order() -> None:
    frame = received(sent(Frame({}, b"", {"x": torch.arange(6).reshape(2, 3).t()})))
    assert frame is not None
    assert frame.tensors["x"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_end_between_frames_is_no_error_and_inside_one_is() -> None:
    contents = sent(Frame({}, b"plan", {"x": torch.arange(6)}))
    assert received(b"") is None
    for end in range(1, len(contents)):
        with pytest.raises(EOFError):
            received(contents[:end])
