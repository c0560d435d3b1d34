from dataclasses import replace

import pytest

from gridward.api.parties.grants import Grant, Purpose
from gridward.api.parties.room import OpenQuery, Room
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
