"""The audit log of a node or gateway, for those who may read it; an export is checked without the server."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gridward.client.transport import Transport
from gridward.core.audit import Verdict, check_head, examine
from gridward.core.errors import InvalidInputError
from gridward.core.plans.canonical import loads
from gridward.core.reports import markdown
from gridward.core.schemas.audit import AuditEntryOut, AuditHead, AuditOut, AuditVerdictOut
from gridward.core.schemas.reports import FiveSafesOut

_PATH = "/v1/audit"


class AuditLog:
    """``node.audit`` and ``grid.audit``."""

    def __init__(self, server: Transport) -> None:
        self._server = server

    def search(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        decision: str | None = None,
        plan_digest: str | None = None,
        request_id: str | None = None,
        result_digest: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEntryOut]:
        """Entries that fit all that is given, newest first, fetched as they are read."""
        given: dict[str, str | None] = {
            "actor": actor,
            "action": action,
            "subject": subject,
            "decision": decision,
            "plan_digest": plan_digest,
            "request_id": request_id,
            "result_digest": result_digest,
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
        }
        params: dict[str, str | int] = {name: value for name, value in given.items() if value is not None}
        while True:
            page = self._server.fetch(AuditOut, "GET", _PATH, params=params)
            yield from page.items
            if page.earlier is None:
                return
            params["before"] = page.earlier

    def head(self) -> AuditHead:
        """The server's signed word on its log. Keep it elsewhere, and give it to ``verify_export`` later."""
        head = self._server.fetch(AuditHead, "GET", f"{_PATH}/head")
        check_head(head)
        return head

    def verify(self) -> AuditVerdictOut:
        """Let the server check its whole log, against the heads that it kept too."""
        return self._server.fetch(AuditVerdictOut, "GET", f"{_PATH}/verdict")

    def report(self, *, since: datetime | None = None, until: datetime | None = None) -> FiveSafesOut:
        """The Five-Safes report of a node: projects, people, settings, data, outputs, and the log's head.

        The server checks its whole log for it. ``report_text`` gives it as Markdown.
        """
        given = {"since": since, "until": until}
        params = {name: moment.isoformat() for name, moment in given.items() if moment is not None}
        found = self._server.fetch(FiveSafesOut, "GET", "/v1/reports/five-safes", params=params)
        check_head(found.head)
        return found

    def report_text(self, *, since: datetime | None = None, until: datetime | None = None) -> str:
        """The Five-Safes report as Markdown, for people."""
        return markdown(self.report(since=since, until=until))

    def export(self, path: str | Path) -> None:
        """Write the whole log to a file of JSON lines; the last line is its signed head."""
        with Path(path).open("wb") as file:
            self._server.save(f"{_PATH}/export", file)


def verify_export(path: str | Path, heads: Sequence[AuditHead] = ()) -> tuple[AuditHead, Verdict]:
    """Check an exported log against itself, its own head, and heads of the same server that were kept.

    Gives its own head too: a log is the word of the server that this names, and of no other. Raises
    ``InvalidInputError`` where the file is no whole export, or a head is not signed by its server.
    """
    own = _last(Path(path))
    for head in (own, *heads):
        check_head(head)
        if head.server != own.server:
            raise InvalidInputError(f"the export is of server {own.server}, a head of {head.server}")
    verdict = examine(_entries(Path(path)), [own, *heads])
    if verdict.count <= own.count:
        return own, verdict
    more = f"{verdict.count - own.count} entries stand behind the last one that the server signed"
    return own, replace(verdict, flaws=(*verdict.flaws, more))


def _last(path: Path) -> AuditHead:
    last = b""
    with path.open("rb") as file:
        for line in file:
            last = line
    try:
        return AuditHead.model_validate_json(last)
    except ValidationError as why:
        raise InvalidInputError(f"{path} does not end with a signed head: it is no whole export") from why


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        previous: bytes | None = None
        for number, line in enumerate(file):
            if previous is not None:
                yield _entry(path, number, previous)
            previous = line


def _entry(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry: Any = loads(line)
        AuditEntryOut.model_validate(entry)
    except ValueError as why:
        raise InvalidInputError(f"line {number} of {path} is not an entry of an audit log") from why
    return dict(entry)
