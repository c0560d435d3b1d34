"""Log lines: one JSON object each, or text for a terminal. Never bodies, tokens, questions or values of data.

What others wrote into a message is not trusted to keep that: exceptions are logged by kind and place, without
their words, unless they are refusals of a kind that speaks of servers only; other libraries' lines keep the
first line of their template, without what was to be filled in. What looks like a secret is struck out.
"""

import contextvars
import copy
import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from gridward.core.errors import Code, GridError

STRUCK: Final = "[struck out]"
_OWN: Final = "gridward"
_EXTRA: Final = ("method", "route", "status", "ms")
_LONGEST: Final = 400
_FRAMES: Final = 12
_SPEAKS_OF_SERVERS: Final = frozenset(
    {
        Code.NOT_SIGNED_IN,
        Code.NOT_AUTHORIZED,
        Code.DEPLOYMENT_REFUSED,
        Code.PROTOCOL_FAILED,
        Code.EMPTY_CRYPTO_STORE,
        Code.NODE_UNREACHABLE,
        Code.BUSY,
        Code.CONFLICT,
    }
)
"""Refusals whose words are written by this program about servers and their state."""
_SECRET_KEYS: Final = re.compile(
    r"authorization|cookie|passw|secret|token|credential|verifier|ticket|api_?key|totp|nonce", re.IGNORECASE
)
_SECRET_SHAPES: Final = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]*\.?[\w-]*"  # JSON Web Tokens
    r"|\b(?:svc|ses)-[0-9a-f]{24}\.[\w-]+"  # tokens of programs and sessions
    r"|\b(?:Bearer|Basic)\s+\S+"
    r"|otpauth://\S+"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # addresses of people
    r"|(?<=\?)[^\s?]*=[^\s]*"  # what an address carries
    r"|(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{32,}(?![\w-])"  # one-time tokens
)
_log: Final = logging.getLogger("gridward.process")


def configure(level: str, form: Literal["json", "text"]) -> None:
    """Send all log lines of this process to standard error. Call once, when serving starts.

    The level is that of this program's own lines; others come from `warning` on, at `debug` too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_OWN).setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True
    warnings.showwarning = _warned
    sys.excepthook = _ended
    sys.unraisablehook = _unraisable
    threading.excepthook = _thread_ended


def formatter(form: Literal["json", "text"]) -> logging.Formatter:
    """Return what writes a record as a line."""
    render: Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), event_key="message")
    )
    return _Lines(
        processors=[ProcessorFormatter.remove_processors_meta, redact, render],
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.stdlib.ExtraAdder((*_EXTRA, "places")),
            structlog.processors.EventRenamer("message"),
        ],
    )


def carried(task: Callable[..., Any], *args: object) -> Callable[[], Any]:
    """Return the call with the request id of now, for a thread that runs it later."""
    return partial(contextvars.copy_context().run, task, *args)


def redact(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Strike out values under a secret's name, and whatever looks like a token or an address of a person."""
    return {
        key: STRUCK if _SECRET_KEYS.search(key) and key != "message" else _struck(value)
        for key, value in line.items()
    }


class _Lines(ProcessorFormatter):
    """Takes out of a record what may hold values, before anything writes it."""

    def format(self, record: logging.LogRecord) -> str:
        line = copy.copy(record)
        if line.name.split(".")[0] == _OWN:
            line.args = _named_args(line.args)
        else:
            line.msg, line.args = str(line.msg).strip().partition("\n")[0][:_LONGEST], None
        if line.exc_info and line.exc_info[1] is not None:
            line.places = places(line.exc_info[1])
        line.exc_info = line.exc_text = line.stack_info = None
        return super().format(line)


def places(error: BaseException) -> list[str]:
    """Say of which kinds an exception and its causes are, and where they passed: no words, no values."""
    found: list[str] = []
    link: BaseException | None = error
    while link is not None and len(found) < 4 * _FRAMES:
        found.append(type(link).__qualname__)
        frames = traceback.extract_tb(link.__traceback__)[-_FRAMES:]
        found += [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return found


def _named_args(args: Any) -> Any:  # noqa: ANN401 (what logging takes: a tuple or a mapping)
    if isinstance(args, tuple):
        return tuple(_named(arg) if isinstance(arg, BaseException) else arg for arg in args)
    return args


def _named(error: BaseException) -> str:
    kind = type(error).__name__
    if isinstance(error, GridError) and error.code in _SPEAKS_OF_SERVERS:
        return f"{kind}: {error.detail}"[:_LONGEST]
    if isinstance(error, OSError) and error.strerror:
        return f"{kind}: {error.strerror}"[:_LONGEST]
    return kind


def _struck(value: object) -> object:
    if isinstance(value, str):
        return _SECRET_SHAPES.sub(STRUCK, value)
    if isinstance(value, list | tuple):
        return [_struck(one) for one in value]
    if isinstance(value, dict):
        return redact(None, "", value)
    return value


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say that there was a warning, as `warnings.showwarning`; its words may hold values."""
    _log.warning("a %s at %s:%d", category.__name__, filename, lineno)


def _ended(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _log.critical("the process ends", exc_info=error)


def _thread_ended(seen: threading.ExceptHookArgs) -> None:
    if seen.exc_value is not None:
        name = seen.thread.name if seen.thread else "of no name"
        _log.critical("a thread ended: %s", name, exc_info=seen.exc_value)


def _unraisable(seen: "sys.UnraisableHookArgs") -> None:
    if seen.exc_value is not None:
        _log.error("an exception had nowhere to go", exc_info=seen.exc_value)
