import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from gridward.api.parties.grants import Grant, Purpose
from gridward.api.parties.room import CALLERS_QUERIES, QUERY_S, Cache, OpenQuery, Remembered, Room
from gridward.core.errors import (
    AuthorizationError,
    BusyError,
    ConflictError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.operands import Weights
from gridward.core.smpc.packets import BodyInMemory
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.session import Session
from gridward.core.smpc.supply import Supply
from tests.support.parties import linear_plan

GRANT = Grant("d" * 32, Purpose.QUERY, "dana@grid", "e" * 32, 1, 17, "A" * 43)


PROOF = b"p" * 32


def query(query_id: str = GRANT.query_id, proof: bytes = PROOF) -> OpenQuery:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    supply = Supply((), Prg(bytes(32)), Prg(bytes(32)), frozenset(), BodyInMemory(memoryview(b"")))
    session = Session(program, 0, cpu, (), supply, Weights({}))
    return OpenQuery(replace(GRANT, query_id=query_id), proof, program, session, bytes(32), 0.0)


def any_input(query: OpenQuery) -> None:
    pass


def test_a_query_is_known_until_it_is_taken_and_taken_once() -> None:
    room, ours = Room(), query()
    assert room.known(GRANT.query_id, PROOF) is None
    room.open(ours)
    assert room.known(GRANT.query_id, PROOF) is ours
    assert room.take(GRANT.query_id, PROOF, any_input) is ours
    assert room.known(GRANT.query_id, PROOF) is None
    with pytest.raises(ObjectNotFoundError):
        room.take(GRANT.query_id, PROOF, any_input)


def test_a_query_answers_to_the_grant_that_opened_it_alone() -> None:
    room, ours = Room(), query()
    room.open(ours)
    forged = b"q" * 32
    with pytest.raises(AuthorizationError, match="another grant"):
        room.known(GRANT.query_id, forged)
    with pytest.raises(AuthorizationError, match="another grant"):
        room.take(GRANT.query_id, forged, any_input)
    with pytest.raises(ConflictError):
        room.open(query(proof=forged))
    assert room.take(GRANT.query_id, PROOF, any_input) is ours


def test_an_input_that_does_not_fit_leaves_the_query_open() -> None:
    room, ours = Room(), query()
    room.open(ours)

    def refuse(query: OpenQuery) -> None:
        raise InvalidInputError("too short")

    with pytest.raises(InvalidInputError):
        room.take(GRANT.query_id, PROOF, refuse)
    assert room.take(GRANT.query_id, PROOF, any_input) is ours


def test_one_caller_cannot_take_all_places() -> None:
    room = Room()
    for number in range(CALLERS_QUERIES):
        room.admit("dana@grid", 0.0, 0, 0)
        room.open(query(f"{number:032x}"))
    with pytest.raises(BusyError, match="of 'dana@grid'"):
        room.admit("dana@grid", 0.0, 0, 0)
    room.admit("eve@grid", 0.0, 0, 0)
    room.admit("dana@grid", QUERY_S + 1, 0, 0)


def test_what_open_queries_hold_is_bounded_in_bytes_whoever_opened_them() -> None:
    room, ours = Room(), query()
    held = np.zeros(100, dtype=np.uint64)
    ours.session.offline[0] = held
    room.open(ours)
    room.admit("eve@grid", 0.0, 200, held.nbytes + 200)
    with pytest.raises(BusyError, match=r"hold 800 bytes, and this one would 201: 1,000 may be held"):
        room.admit("eve@grid", 0.0, 201, held.nbytes + 200)
    room.admit("eve@grid", QUERY_S + 1, 201, held.nbytes + 200)
    assert ours.session.held_bytes == 0


def test_forgotten_queries_let_go_of_their_packets() -> None:
    room, ours, other = Room(), query(), query("b" * 32)
    other.grant = replace(other.grant, deployment_id="other")
    for one in (ours, other):
        one.session.offline[0] = np.zeros(1, dtype=np.uint64)
        room.open(one)
    room.forget(ours.grant.deployment_id)
    assert (ours.session.held_bytes, other.session.held_bytes) == (0, 8)


def test_the_input_of_a_query_arrives_once_at_a_time_and_only_where_it_fits() -> None:
    room = Room()
    room.open(query())

    def refuse(query: OpenQuery) -> None:
        raise InvalidInputError("too long")

    with pytest.raises(InvalidInputError), room.receiving(GRANT.query_id, PROOF, refuse):
        pass
    with pytest.raises(AuthorizationError), room.receiving(GRANT.query_id, b"q" * 32, any_input):
        pass
    with room.receiving(GRANT.query_id, PROOF, any_input):
        for _ in range(2):
            with pytest.raises(ConflictError), room.receiving(GRANT.query_id, PROOF, any_input):
                pass
    with room.receiving(GRANT.query_id, PROOF, any_input):
        pass


def test_nobody_waits_for_a_place_without_the_grant_of_an_open_query() -> None:
    room, ours = Room(), query()
    room.open(ours)
    room.require(GRANT.query_id, PROOF)
    with pytest.raises(AuthorizationError):
        room.require(GRANT.query_id, b"q" * 32)
    with pytest.raises(ObjectNotFoundError):
        room.require("f" * 32, PROOF)


def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    records: Remembered[str] = Remembered()
    _, seen = records.get("a")
    records.drop("a")
    records.put("a", "old", seen)
    assert records.get("a")[0] is None
    records.put("a", "new", records.get("a")[1])
    assert records.get("a")[0] == "new"


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
