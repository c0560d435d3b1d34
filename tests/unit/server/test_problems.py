import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError, OperationalError

from gridward.core.errors import ERRORS, BusyError, Code, GridError
from gridward.core.schemas.problem import Problem
from gridward.server import problems


class Body(BaseModel):
    password: int


def app() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/refused/{code}")
    def refused(code: Code) -> None:
        raise ERRORS[code]("said why")

    @app.get("/broken/{kind}")
    def broken(kind: str) -> None:
        raise {
            "bug": RuntimeError("the secret is 42"),
            "integrity": IntegrityError("INSERT secret", {}, Exception("row 42")),
            "locked": OperationalError("SELECT secret", {}, Exception("locked 42")),
            "busy": BusyError("later", retry_after_s=1.2),
        }[kind]

    @app.post("/typed")
    def typed(body: Body) -> int:
        return body.password

    return app


CLIENT = TestClient(app(), raise_server_exceptions=False)


def test_every_code_has_a_status_a_title_and_an_error_class() -> None:
    assert set(problems.STATUS) == set(problems.TITLE) == set(ERRORS) == set(Code)
    assert all(400 <= status < 600 for status in problems.STATUS.values())


@pytest.mark.parametrize("code", Code)
def test_a_refusal_travels_as_a_problem_with_its_code(code: Code) -> None:
    answer = CLIENT.get(f"/refused/{code}")
    problem = Problem.model_validate_json(answer.content)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem.status) == (problems.STATUS[code],) * 2
    assert (problem.code, problem.detail) == (code, "said why")
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("bug", 500, Code.INTERNAL), ("integrity", 409, Code.CONFLICT), ("locked", 503, Code.BUSY)],
)
def test_what_was_not_expected_leaks_no_text(kind: str, status: int, code: Code) -> None:
    answer = CLIENT.get(f"/broken/{kind}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "42" not in answer.text
    assert "secret" not in answer.text


def test_a_busy_server_says_when_to_come_back() -> None:
    assert CLIENT.get("/broken/busy").headers["retry-after"] == "2"


def test_malformed_input_names_the_field_and_never_repeats_the_value() -> None:
    answer = CLIENT.post("/typed", json={"password": "hunter2"})
    assert (answer.status_code, answer.json()["code"]) == (422, Code.INVALID_INPUT)
    assert "body.password" in answer.json()["detail"]
    assert "hunter2" not in answer.text


def test_unknown_paths_and_methods_are_problems_too() -> None:
    assert CLIENT.get("/nowhere").json()["code"] == Code.OBJECT_NOT_FOUND
    answer = CLIENT.put("/typed")
    assert (answer.status_code, answer.json()["code"]) == (405, Code.INVALID_INPUT)
    assert answer.headers["allow"] == "POST"


def test_every_error_class_has_its_own_code() -> None:
    kinds = [kind for kind in ERRORS.values() if issubclass(kind, GridError)]
    assert len({kind.code for kind in kinds}) == len(kinds) == len(Code)
