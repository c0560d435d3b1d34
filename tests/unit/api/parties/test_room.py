import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gridward.api.parties.grants import Grant, Purpose
from gridward.api.parties.room import Cache, OpenQuery, Room
from gridward.core.errors import AuthorizationError, ConflictError, ObjectNotFoundError
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.session import Session
from tests.support.parties import linear_plan

GRANT = Grant("d" * 32, Purpose.QUERY, "dana@grid", "e" * 32, 1, 17, "A" * 43)


def query(grant: Grant = GRANT) -> OpenQuery:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    session = Session(program, 0, cpu, (), {}, {}, {}, ())
    return OpenQuery(grant, program, session, bytes(32), 0.0)


def test_a_query_is_known_until_it_is_taken_and_taken_once() -> None:
    room, ours = Room(), query()
    assert room.known(GRANT) is None
    room.open(ours)
    assert room.known(GRANT) is ours
    assert room.take(GRANT) is ours
    assert room.known(GRANT) is None
    with pytest.raises(ObjectNotFoundError):
        room.take(GRANT)


@pytest.mark.parametrize(
    "other", [{"seal_key": "B" * 43}, {"caller": "eve@grid"}, {"serial": 18}, {"batch": 2}]
)
def test_a_query_answers_to_the_grant_that_opened_it_alone(other: dict[str, str | int]) -> None:
    room, ours = Room(), query()
    room.open(ours)
    forged = replace(GRANT, **other)  # type: ignore[arg-type]
    with pytest.raises(AuthorizationError, match="another grant"):
        room.known(forged)
    with pytest.raises(AuthorizationError, match="another grant"):
        room.take(forged)
    with pytest.raises(ConflictError):
        room.open(query(forged))
    assert room.take(GRANT) is ours


def test_a_value_that_is_slow_to_make_holds_up_those_who_want_it_and_nobody_else() -> None:
    cache: Cache[str, int] = Cache(2)
    begun, go_on, made = threading.Event(), threading.Event(), []

    def slow() -> int:
        begun.set()
        assert go_on.wait(20)
        made.append("slow")
        return 1

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(cache.get, "slow", slow) for _ in range(2)]
        assert begun.wait(20)
        assert cache.get("quick", lambda: 2) == 2
        go_on.set()
        assert [one.result(20) for one in asked] == [1, 1]
    assert made == ["slow"]


def test_a_value_dropped_while_it_is_made_is_not_kept() -> None:
    cache: Cache[str, int] = Cache(2)

    def made_too_late() -> int:
        cache.drop(lambda key: key != "ended")
        return 1

    assert cache.get("ended", made_too_late) == 1
    assert cache.get("ended", lambda: 2) == 2


def test_a_value_that_cannot_be_made_is_tried_again() -> None:
    cache: Cache[str, int] = Cache(2)

    def broken() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get("key", broken)
    assert cache.get("key", lambda: 3) == 3


def test_the_values_used_last_are_kept() -> None:
    cache: Cache[int, int] = Cache(2)
    for key in (1, 2, 1, 3):
        cache.get(key, lambda key=key: key)
    assert [cache.get(key, lambda: -1) for key in (1, 3, 2)] == [1, 3, -1]
