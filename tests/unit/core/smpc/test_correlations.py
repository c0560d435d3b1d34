import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import (
    correction_bytes,
    cut,
    draw,
    holder,
    join,
    slot_bytes,
    write_corrections,
)
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.program import SlotKind
from tests.support.parties import mlp_plan

PROGRAM = compile_plan(mlp_plan(3, 4, 2), batch=2, parties=2)


@given(
    st.sampled_from(list(SlotKind)),
    st.sampled_from(["uint8", "uint16", "uint32", "uint64"]),
    st.integers(0, 99),
)
def test_cutting_undoes_joining_at_every_width(kind: SlotKind, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = (rng.integers(0, 2**64, 5, dtype=np.uint64).astype(dtype) for _ in range(2))
    assert np.array_equal(join(kind, cut(kind, left, right), right), left)
    assert join(kind, left, right).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("bits", "dtype"),
    [(1, "uint8"), (8, "uint8"), (9, "uint16"), (16, "uint16"), (17, "uint32"), (64, "uint64")],
)
def test_a_holder_is_the_smallest_dtype(bits: int, dtype: str) -> None:
    assert holder(bits) == dtype


def test_no_two_slots_draw_from_the_same_stream() -> None:
    streams = [slot.stream for slot in PROGRAM.manifest]
    assert len(set(streams)) == len(streams)
    assert len({(slot.gate, slot.name) for slot in PROGRAM.manifest}) == len(streams)


def test_masks_are_drawn_and_functions_of_masks_are_corrected() -> None:
    free = {slot.name.rstrip("0123456789.") for slot in PROGRAM.manifest if not slot.corrected}
    assert free == {"mask", "merge", "flip"}


def test_corrections_are_laid_out_in_manifest_order() -> None:
    arrays = {
        (slot.gate, slot.name): draw(Prg(bytes(32)), slot) for slot in PROGRAM.manifest if slot.corrected
    }
    data = b"".join(write_corrections(PROGRAM.manifest, arrays))
    assert len(data) == correction_bytes(PROGRAM.manifest)
    first = next(slot for slot in PROGRAM.manifest if slot.corrected)
    assert data[: slot_bytes(first)] == arrays[first.gate, first.name].tobytes()
