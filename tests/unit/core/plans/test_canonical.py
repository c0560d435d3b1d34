"""Canonical JSON is RFC 8785: one form for each document, and the same form as ECMAScript writes."""

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.plans.canonical import EXACT_INTEGER, dumps, loads, number

FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)
# Larger whole floats print as integers that only a reader who knows the member's type takes for floats.
SMALL = st.floats(-(2.0**52), 2.0**52).map(lambda value: value + 0.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-EXACT_INTEGER, EXACT_INTEGER) | SMALL | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)

# Appendix B of RFC 8785, by the bits of the double.
VECTORS = {
    "0000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize("bits", VECTORS)
def test_numbers_are_printed_as_the_rfc_prints_them(bits: str) -> None:
    assert number(struct.unpack(">d", bytes.fromhex(bits))[0]) == VECTORS[bits]


@given(FLOATS)
def test_a_printed_number_reads_back_equal(value: float) -> None:
    assert float(number(value)) == value


@given(JSON)
def test_what_is_written_reads_back_equal_and_is_written_the_same(value: object) -> None:
    blob = dumps(value)
    assert json.loads(blob) == value
    assert dumps(loads(blob)) == blob


def test_keys_are_sorted_by_utf_16_units_as_the_rfc_says() -> None:
    blob = dumps({"\ufb33": 1, "\U0001f600": 2, "a": 3, "": 4})
    assert list(json.loads(blob)) == ["", "a", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -0.0, 2**53, -(2**53)])
def test_numbers_without_a_canonical_form_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"canonical|beyond"):
        dumps([value])


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError):
        dumps({"a": {1, 2}})


@pytest.mark.parametrize(
    "blob",
    [b'{"a":1,"a":2}', b"[NaN]", b"[Infinity]", b"{", b"\xff", b"[" * 100_000, b"[1" + b"0" * 5000 + b"]"],
)
def test_sloppy_json_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError):
        loads(blob)
