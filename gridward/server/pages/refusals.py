"""Refusals as pages, and as a line within the page whose form was refused, so that nothing typed is lost."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import RedirectResponse, Response

from gridward.core.errors import NotSignedInError
from gridward.core.schemas.problem import Problem
from gridward.server import browser
from gridward.server.pages.guard import ElsewhereError
from gridward.server.pages.shell import Shell, is_fragment, page
from gridward.server.principals import Principal
from gridward.server.state import server_of


def install(app: FastAPI, shell: Shell) -> None:
    """Teach the app to answer browsers with pages."""
    app.state.shell = shell
    app.state.problem_page = refuse
    app.add_exception_handler(ElsewhereError, _lead)


def refuse(request: Request, problem: Problem, headers: Mapping[str, str]) -> Response:
    """Say what was refused: in place for a form that htmx sent, else as a page."""
    kept = {name: value for name, value in headers.items() if name != "WWW-Authenticate"}
    if is_fragment(request):
        answer = page(request, "refusal.html", status=problem.status, problem=problem)
        answer.headers.update({"HX-Retarget": "#refusal", "HX-Reswap": "innerHTML show:window:top"} | kept)
        return answer
    answer = page(request, "problem.html", _caller(request), status=problem.status, problem=problem)
    answer.headers.update(kept)
    return answer


def _caller(request: Request) -> Principal | None:
    server = server_of(request)
    cookie = browser.cookie_of(request, server.accounts)
    try:
        return browser.authenticate(server.accounts, cookie) if cookie else None
    except (NotSignedInError, SQLAlchemyError):  # a busy database is what is being said
        return None


def _lead(request: Request, error: Exception) -> Response:
    assert isinstance(error, ElsewhereError)  # noqa: S101 (Starlette calls it for this class only)
    if is_fragment(request):
        return Response(status_code=204, headers={"HX-Redirect": error.path})
    return RedirectResponse(error.path, 303)
