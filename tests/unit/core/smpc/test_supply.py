import numpy as np
import pytest

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import correction_bytes, draw, join, slot_bytes, wire_type
from gridward.core.smpc.packets import BodyInMemory
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.supply import Supply
from tests.support.parties import mlp_plan

PROGRAM = compile_plan(mlp_plan(3, 400, 2), batch=200, parties=2)
ONE, TWO = Prg(b"1" * 32), Prg(b"2" * 32)
ALL = sum(map(slot_bytes, PROGRAM.manifest))


def body(change: int = 0) -> BodyInMemory:
    size = correction_bytes(PROGRAM.manifest) + change
    return BodyInMemory(memoryview(np.random.default_rng(1).bytes(size)))


def supply(corrections: BodyInMemory | None = None) -> Supply:
    nothing = BodyInMemory(memoryview(b""))
    return Supply(PROGRAM.manifest, ONE, TWO, frozenset({0}), corrections or nothing)


def test_the_first_wires_mask_comes_from_the_input_key_alone() -> None:
    parts = supply()
    for slot in PROGRAM.manifest:
        expected = draw(TWO if slot.gate == 0 else ONE, slot)
        assert np.array_equal(parts.take(slot.gate, slot.name), expected)


@pytest.mark.parametrize("ahead", [0, ALL // 3, ALL])
def test_parts_are_drawn_and_corrected_alike_whether_ahead_or_not(ahead: int) -> None:
    corrections = body()
    parts = supply(corrections)
    parts.hold(ahead)
    at = 0
    for number, slot in enumerate(PROGRAM.manifest):
        expected = draw(TWO if slot.gate == 0 else ONE, slot)
        if slot.corrected:
            sent = np.frombuffer(corrections.view, wire_type(slot), expected.size, at).reshape(slot.shape)
            expected = join(slot.kind, expected, sent)
            at += sent.nbytes
        if number % 2:
            given = np.empty(slot.shape, dtype=slot.dtype)
            parts.take_into(slot.gate, slot.name, given)
        else:
            assert np.array_equal(parts.look(slot.gate, slot.name), expected)
            given = parts.take(slot.gate, slot.name)
        assert np.array_equal(given, expected)


@pytest.mark.parametrize("ahead", [0, ALL])
def test_a_part_is_given_out_once(ahead: int) -> None:
    parts = supply(body())
    parts.hold(ahead)
    slot = PROGRAM.manifest[-1]
    parts.take(slot.gate, slot.name)
    with pytest.raises(KeyError):
        parts.take(slot.gate, slot.name)
    with pytest.raises(KeyError):
        parts.look(slot.gate, slot.name)


@pytest.mark.parametrize("limit", [0, 1, ALL // 2, ALL - 1, ALL])
def test_what_lies_ahead_is_counted_and_fits_the_limit(limit: int) -> None:
    parts = supply(body())
    parts.hold(limit)
    largest = max(map(slot_bytes, PROGRAM.manifest))
    assert limit - largest < parts.held_bytes <= limit
    first = PROGRAM.manifest[0]
    if parts.held_bytes:
        before = parts.held_bytes
        parts.take(first.gate, first.name)
        assert parts.held_bytes == before - slot_bytes(first)
    parts.close()
    assert parts.held_bytes == 0


@pytest.mark.parametrize("change", [-1, 1, 8])
def test_corrections_of_another_length_are_refused(change: int) -> None:
    with pytest.raises(InvalidInputError, match="corrections"):
        supply(body(change))
