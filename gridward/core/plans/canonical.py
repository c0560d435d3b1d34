"""Canonical JSON (RFC 8785) of the values a plan document is made of: equal documents have equal bytes."""

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

EXACT_INTEGER = 2**53 - 1


def dumps(value: object) -> bytes:
    """Write the one canonical form: keys sorted, no spaces, numbers as ECMAScript prints them.

    Raises:
        ValueError: a number without a canonical form (not finite, minus zero, beyond 2**53 - 1).
        TypeError: anything JSON has no word for.
    """
    return "".join(_pieces(value)).encode()


def loads(blob: bytes) -> object:
    """Read JSON strictly: no NaN or Infinity, no key twice.

    Raises:
        ValueError: the bytes are not such JSON, or nested too deeply.
    """
    try:
        value: object = json.loads(blob, object_pairs_hook=_unique, parse_constant=_refuse)
        return value
    except RecursionError as why:
        raise ValueError("nested too deeply") from why


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is given twice in one object")
    return members


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _pieces(value: object) -> Iterator[str]:
    if value is None or isinstance(value, bool):
        yield {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, str):
        yield json.dumps(value, ensure_ascii=False)
    elif isinstance(value, int):
        yield _integer(value)
    elif isinstance(value, float):
        yield number(value)
    elif isinstance(value, dict):
        yield from _object(value)
    elif isinstance(value, list):
        yield from _array(value)
    else:
        raise TypeError(f"{type(value).__name__} has no canonical form")


def _object(members: dict[str, object]) -> Iterator[str]:
    separator = "{"
    for key in sorted(members, key=lambda key: key.encode("utf-16-be")):
        yield f"{separator}{json.dumps(key, ensure_ascii=False)}:"
        yield from _pieces(members[key])
        separator = ","
    yield "}" if members else "{}"


def _array(items: list[object]) -> Iterator[str]:
    separator = "["
    for item in items:
        yield separator
        yield from _pieces(item)
        separator = ","
    yield "]" if items else "[]"


def _integer(value: int) -> str:
    if abs(value) > EXACT_INTEGER:
        raise ValueError(f"{value} is beyond 2**53 - 1, which not every reader holds exactly")
    return str(value)


def number(value: float) -> str:
    """Print a float as ECMAScript's Number::toString does (the shortest digits that read back equal).

    Raises:
        ValueError: not finite, or minus zero (ECMAScript prints it as 0).
    """
    if not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0):
        raise ValueError(f"{value} has no canonical form")
    if value == 0:
        return "0"
    sign, digit_tuple, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int):
        raise TypeError("a finite float has an integral exponent")
    digits = "".join(map(str, digit_tuple))
    point = len(digits) + exponent
    if len(digits) <= point <= 21:
        body = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        body = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        body = f"0.{'0' * -point}{digits}"
    else:
        mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
        body = f"{mantissa}e{point - 1:+d}"
    return f"-{body}" if sign else body
