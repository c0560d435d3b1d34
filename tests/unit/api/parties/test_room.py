import pytest

from gridward.api.parties.grants import Grant, Purpose
from gridward.api.parties.room import OpenQuery, Remembered, Room
from gridward.core.errors import AuthorizationError, ConflictError, InvalidInputError, ObjectNotFoundError
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.session import Session
from tests.support.parties import linear_plan

GRANT = Grant("d" * 32, Purpose.QUERY, "dana@grid", "e" * 32, 1, 17, "A" * 43)


PROOF = b"p" * 32


def query(proof: bytes = PROOF) -> OpenQuery:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    session = Session(program, 0, cpu, (), {}, {}, {}, ())
    return OpenQuery(GRANT, proof, program, session, bytes(32), 0.0)


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
        room.open(query(forged))
    assert room.take(GRANT.query_id, PROOF, any_input) is ours


def test_an_input_that_does_not_fit_leaves_the_query_open() -> None:
    room, ours = Room(), query()
    room.open(ours)

    def refuse(query: OpenQuery) -> None:
        raise InvalidInputError("too short")

    with pytest.raises(InvalidInputError):
        room.take(GRANT.query_id, PROOF, refuse)
    assert room.take(GRANT.query_id, PROOF, any_input) is ours


def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    records: Remembered[str] = Remembered()
    _, seen = records.get("a")
    records.drop("a")
    records.put("a", "old", seen)
    assert records.get("a")[0] is None
    records.put("a", "new", records.get("a")[1])
    assert records.get("a")[0] == "new"
