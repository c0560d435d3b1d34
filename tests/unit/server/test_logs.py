"""What a line may say: kinds and places, never the words of what went wrong, and nothing like a secret."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from structlog.contextvars import bound_contextvars

from gridward.core.errors import NodeUnreachableError, PlanFailedError
from gridward.server import logs

VALUE = "3.14159265"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that a handler with our formatter writes."""
    with written("json") as stream:
        yield stream


class written:
    """Collect lines of a form, of all loggers, at every level."""

    def __init__(self, form: Literal["json", "text"]) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logs.formatter(form))

    def __enter__(self) -> io.StringIO:
        logging.getLogger().addHandler(self.handler)
        self.level = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        return self.stream

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self.handler)
        logging.getLogger().setLevel(self.level)


def last(stream: io.StringIO) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
    return said


def test_a_line_says_when_who_how_bad_and_which_request(lines: io.StringIO) -> None:
    with bound_contextvars(request_id="req-1"):
        logging.getLogger("gridward.x").warning("%s of %d", "two", 3, extra={"status": 418, "body": VALUE})
    said = last(lines)
    assert said.pop("at").endswith("Z")
    assert said == {
        "level": "warning",
        "logger": "gridward.x",
        "message": "two of 3",
        "request_id": "req-1",
        "status": 418,
    }


def test_an_exception_is_its_kinds_and_places(lines: io.StringIO) -> None:
    def fail() -> None:
        try:
            float(f"x{VALUE}")
        except ValueError as why:
            raise RuntimeError(f"column holds {VALUE}") from why

    try:
        fail()
    except RuntimeError:
        logging.getLogger("gridward.x").exception("a run failed")
    said = last(lines)
    assert VALUE not in lines.getvalue()
    assert (said["message"], said["places"][0]) == ("a run failed", "RuntimeError")
    assert "ValueError" in said["places"]
    assert any("test_logs.py" in place and place.endswith(" fail") for place in said["places"])


def test_an_exception_within_a_message_is_named_and_speaks_of_servers_only(lines: io.StringIO) -> None:
    log = logging.getLogger("gridward.x")
    for why in (ValueError(VALUE), PlanFailedError(f"step 3 met {VALUE}")):
        log.warning("it failed: %s", why)
        assert last(lines)["message"] == f"it failed: {type(why).__name__}"
    log.warning("it failed: %s", NodeUnreachableError("node b does not answer"))
    assert last(lines)["message"] == "it failed: NodeUnreachableError: node b does not answer"
    log.warning("it failed: %s", FileNotFoundError(2, "No such file or directory", VALUE))
    assert last(lines)["message"] == "it failed: FileNotFoundError: No such file or directory"


def test_of_other_libraries_the_first_line_of_the_template_is_enough(lines: io.StringIO) -> None:
    logging.getLogger("asyncio").error(f"Task was lost\nfuture: <Task exception=ValueError({VALUE})>")
    assert last(lines)["message"] == "Task was lost"
    logging.getLogger("sqlalchemy.engine").warning("[raw sql] %s", (VALUE,))
    assert last(lines)["message"] == "[raw sql] %s"


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2ln",
        "svc-0123456789abcdef01234567.shown-once",
        "ses-0123456789abcdef01234567.9mP0pZyVQ2uY0d8u3vFzjQ",
        "Bearer abc.def",
        "otpauth://totp/x?secret=GEZDGNBV",
        "ana@example.org",
        "hY2-Jd0sKzQ8wT1uVbN3mXcRf7gLpA5e",
        "code=4711&state=secret-state",
    ],
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_what_looks_like_a_secret_is_struck_out(secret: str, form: Literal["json", "text"]) -> None:
    with written(form) as stream:
        said = f"https://x.example/?{secret}" if "&" in secret else secret
        logging.getLogger("gridward.x").info("came with %s here", said)
    assert secret not in stream.getvalue()
    assert logs.STRUCK in stream.getvalue()


def test_names_and_digests_are_no_secrets(lines: io.StringIO) -> None:
    for name in (
        "req-0123456789abcdef01234567",
        "9f86d081" * 8,
        "mfrggzdfmztwq2lknnwg23tpoa",
        "a-long-name" * 4,
    ):
        logging.getLogger("gridward.x").info("%s", name)
        assert last(lines)["message"] == name


@pytest.mark.parametrize("key", ["Authorization", "set-cookie", "password", "client_secret", "access_token"])
def test_a_value_under_a_secrets_name_is_struck_out(key: str) -> None:
    assert logs.redact(None, "", {key: "x", "more": {key: "y"}}) == {
        key: logs.STRUCK,
        "more": {key: logs.STRUCK},
    }


def test_what_runs_later_is_of_the_request_that_asked_for_it(lines: io.StringIO) -> None:
    log = logging.getLogger("gridward.x")
    with bound_contextvars(request_id="req-2"):
        later = logs.carried(log.warning, "done")
    thread = threading.Thread(target=later)
    thread.start()
    thread.join()
    assert last(lines)["request_id"] == "req-2"
    log.warning("another")
    assert "request_id" not in last(lines)


def test_warnings_and_lost_exceptions_are_lines_without_words(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((warnings, "showwarning"), (sys, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    kept = logging.getLogger().handlers[:]
    logs.configure("debug", "json")
    logging.getLogger().handlers = kept

    def fail() -> None:
        raise ValueError(VALUE)

    thread = threading.Thread(target=fail, name="worker-1")
    thread.start()
    thread.join()
    assert last(lines)["message"] == "a thread ended: worker-1"
    assert last(lines)["places"][0] == "ValueError"
    warnings.showwarning(RuntimeWarning(VALUE), RuntimeWarning, "file.py", 3)
    assert last(lines)["message"] == "a RuntimeWarning at file.py:3"
    sys.excepthook(ValueError, ValueError(VALUE), None)
    assert last(lines)["message"] == "the process ends"
    assert VALUE not in lines.getvalue()
    assert logging.getLogger("gridward.x").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("sqlalchemy.engine.Engine").isEnabledFor(logging.INFO)
