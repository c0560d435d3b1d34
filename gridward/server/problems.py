"""The only place that knows both refusals and HTTP: code -> status, exception -> problem body (RFC 9457)."""

import math
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gridward.core.errors import (
    BusyError,
    Code,
    ConflictError,
    GridError,
    InternalError,
    InvalidInputError,
    NotSignedInError,
    ObjectNotFoundError,
    TooLargeError,
)
from gridward.core.schemas.problem import Problem
from gridward.server.headers import set_headers

MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[dict[Code, int]] = {
    Code.NOT_SIGNED_IN: 401,
    Code.WRONG_CREDENTIALS: 401,
    Code.SECOND_FACTOR_REQUIRED: 401,
    Code.NOT_AUTHORIZED: 403,
    Code.TOO_MANY_ATTEMPTS: 429,
    Code.SETUP_REFUSED: 403,
    Code.OBJECT_NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.GET_NOT_PERMITTED: 403,
    Code.SEND_NOT_PERMITTED: 403,
    Code.RESULT_SUPPRESSED: 403,
    Code.NOT_AVAILABLE_YET: 501,
    Code.TENSORS_NOT_COLLOCATED: 422,
    Code.NOT_ENOUGH_BUDGET: 403,
    Code.DUPLICATE_REQUEST: 409,
    Code.REQUEST_PENDING: 409,
    Code.INVALID_INPUT: 422,
    Code.UPLOAD_REFUSED: 422,
    Code.TOO_LARGE: 413,
    Code.CONFLICT: 409,
    Code.PLAN_REJECTED: 422,
    Code.PLAN_FAILED: 422,
    Code.PLAN_LIMIT: 422,
    Code.EMPTY_CRYPTO_STORE: 409,
    Code.PROTOCOL_FAILED: 424,
    Code.DEPLOYMENT_REFUSED: 409,
    Code.OUT_OF_RANGE: 422,
    Code.RANGE_VIOLATION: 422,
    Code.TRAINING_FAILED: 409,
    Code.NODE_UNREACHABLE: 424,
    Code.NO_MATCH: 409,
    Code.BUSY: 503,
    Code.INTERNAL: 500,
}

TITLE: Final[dict[Code, str]] = {code: code.value.replace("_", " ").capitalize() for code in Code}


def response(error: GridError, request: Request, *, status: int | None = None) -> Response:
    """Return the problem response of a refusal."""
    number = status or STATUS[error.code]
    problem = Problem(
        title=TITLE[error.code],
        status=number,
        detail=error.detail,
        code=error.code,
        instance=str(request.scope.get("request_id", "")),
    )
    headers = {}
    if number == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if _is_for_a_page(request):
        answer: Response = request.app.state.problem_page(request, problem, headers)
        return answer
    return Response(problem.model_dump_json(), number, headers, MEDIA_TYPE)


def _is_for_a_page(request: Request) -> bool:
    """REST answers with problems whoever asks; elsewhere it is a browser that has to be told."""
    if request.url.path.startswith("/v1/") or not hasattr(request.app.state, "problem_page"):
        return False
    return "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers


def install(app: FastAPI) -> None:
    """Teach the app to answer every exception with a problem."""
    app.add_exception_handler(GridError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(IntegrityError, _collided)
    app.add_exception_handler(DataError, _unstorable)
    app.add_exception_handler(OperationalError, _database_busy)
    app.add_exception_handler(PoolTimeoutError, _database_busy)
    app.add_exception_handler(Exception, _failed)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, GridError)  # noqa: S101 (Starlette calls it for this class only)
    return response(error, request)


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (as above)
    # Paths and reasons only: the rejected input may hold a password or private values.
    faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    return response(InvalidInputError("; ".join(faults[:20])), request)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (as above)
    kinds: dict[int, GridError] = {
        401: NotSignedInError(str(error.detail)),
        404: ObjectNotFoundError("there is nothing at this path"),
        413: TooLargeError(str(error.detail)),
    }
    answer = response(
        kinds.get(error.status_code, InvalidInputError(str(error.detail))), request, status=error.status_code
    )
    answer.headers.update(error.headers or {})
    return answer


def _collided(request: Request, _error: Exception) -> Response:
    return response(ConflictError("another request changed this at the same time; try again"), request)


def _unstorable(request: Request, _error: Exception) -> Response:
    # PostgreSQL refuses NUL characters in text and numbers beyond a column's range; SQLite takes them.
    return response(InvalidInputError("a value holds what the database cannot store"), request)


def _database_busy(request: Request, _error: Exception) -> Response:
    return response(BusyError("the database is busy; try again", retry_after_s=1), request)


def _failed(request: Request, _error: Exception) -> Response:
    """Answer a bug; it is sent from outside of what frames all other answers, so it is framed here."""
    why = InternalError("the server failed; its log knows more under this request's id")
    answer = response(why, request)
    set_headers(answer.headers, request.scope)
    return answer
