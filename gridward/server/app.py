"""The shell of both services: request ids, log lines, headers, size limits, health, problems, OpenAPI."""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from gridward.core.errors import BusyError, GridError
from gridward.core.schemas.examples import EXAMPLES
from gridward.core.schemas.problem import Problem
from gridward.server import metrics, problems
from gridward.server.browser import cookie_of
from gridward.server.headers import set_headers
from gridward.server.pages import assets, refusals
from gridward.server.pages.shell import Shell
from gridward.server.state import server_of

_log: Final = logging.getLogger("gridward.access")
_STRANGER_BODY_BYTES: Final = 2**16
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Health(BaseModel):
    """The process answers."""

    status: str


class _Frame:
    """ASGI middleware: names the request, bounds its body, sets headers, writes one log line."""

    def __init__(self, app: ASGIApp, body_max_bytes: int) -> None:
        self._app = app
        self._body_max_bytes = body_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope["request_id"] = f"req-{secrets.token_hex(6)}"
        with bound_contextvars(request_id=scope["request_id"]):
            await self._framed(scope, receive, send)

    async def _framed(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def framed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                set_headers(MutableHeaders(scope=message), scope)
            await send(message)

        try:
            await self._app(scope, self._bounded(scope, receive), framed_send)
        finally:
            seconds = time.perf_counter() - started
            scope["app"].state.metrics.count(scope, status, seconds)
            _write_line(scope, status, seconds)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Let little of a body through until its token has proven genuine: handlers run after the body."""
        limit, proven, received = min(_STRANGER_BODY_BYTES, self._body_max_bytes), False, 0
        announced = Headers(scope=scope).get("content-length", "")

        async def bounded_receive() -> Message:
            nonlocal limit, proven, received
            wanted = int(announced) if announced.isdigit() else 0
            message: Message = {}
            if wanted <= limit:
                message = await receive()
                received += len(message.get("body", b""))
            if max(wanted, received) > limit and not proven:
                limit, proven = max(limit, await self._room(scope)), True
            if max(wanted, received) > limit:
                raise HTTPException(413, f"this server takes bodies up to {limit} bytes here")
            return message or await receive()

        return bounded_receive

    async def _room(self, scope: Scope) -> int:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        server = scope["app"].state.server
        cookie = cookie_of(HTTPConnection(scope), server.accounts)
        try:
            if scheme.lower() == "bearer":
                return await run_in_threadpool(server.vouch, token, self._body_max_bytes)
            if cookie is not None:
                return await run_in_threadpool(server.vouch_browser, cookie, self._body_max_bytes)
            return 0
        except GridError as why:
            raise HTTPException(401, why.detail) from why


def build(
    *,
    title: str,
    description: str,
    routers: Sequence[APIRouter],
    lifespan: Lifespan,
    body_max_bytes: int,
    shell: Shell,
) -> FastAPI:
    """Return the app. `lifespan` makes the `Server`, puts it into `app.state.server` and closes it."""
    app = FastAPI(
        title=title,
        description=description,
        version=version("gridward"),
        lifespan=partial(_told, lifespan),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        separate_input_output_schemas=False,
        # a redirect to the path without its slash would go to whatever host the caller named
        redirect_slashes=False,
    )
    problems.install(app)
    refusals.install(app, shell)
    app.state.metrics = metrics.Metrics()
    app.add_middleware(_Frame, body_max_bytes=body_max_bytes)
    app.include_router(_health)
    app.include_router(metrics.router)
    app.include_router(assets.router)
    for router in routers:
        app.include_router(router)
    app.openapi = _documented(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


@asynccontextmanager
async def _told(lifespan: Lifespan, app: FastAPI) -> AsyncIterator[None]:
    """Say in words why a server cannot start; what fails later says only where."""
    entered = False
    try:
        async with lifespan(app):
            entered = True
            yield
    except GridError as why:
        if not entered:
            _log.critical("cannot start: %s", why.detail)
        raise


_health = APIRouter(tags=["health"])


@_health.get("/health")
async def health() -> Health:
    """Say that the process is alive."""
    return Health(status="alive")


@_health.get("/ready")
async def ready(request: Request) -> Health:
    """Say that every part answers, so that requests can be served; else which one does not."""
    unready = await run_in_threadpool(server_of(request).unready)
    if unready:
        raise BusyError(f"not ready: {', '.join(unready)}", retry_after_s=1)
    return Health(status="ready")


def _documented(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Extend the generated OpenAPI document: every operation may answer a problem."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _add_problems(document)
            _add_examples(document)
            app.openapi_schema = document
        return app.openapi_schema

    return openapi


def _add_problems(document: dict[str, Any]) -> None:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in document.get("paths", {}).values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["4XX"] = {"description": "Refused; `code` says why.", "content": content}
            operation["responses"]["5XX"] = {"description": "Busy or failed.", "content": content}


def _add_examples(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]


def _write_line(scope: Scope, status: int, seconds: float) -> None:
    # The route's template, not the path: ids and names of private things stay out of the log.
    path = getattr(scope.get("route"), "path", "unrouted")
    _log.info(
        "%s %s %d",
        scope["method"],
        path,
        status,
        extra={
            "method": scope["method"],
            "route": path,
            "status": status,
            "ms": round(seconds * 1000, 1),
        },
    )
