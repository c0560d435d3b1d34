"""Questions to the people who may open the data: asked and waited for, read and decided."""

import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import torch

from gridward.client import computations, notebook, wire
from gridward.client.checks import checked
from gridward.client.downloads import fetch_tensors
from gridward.client.paging import collected
from gridward.client.place import Place, segment
from gridward.client.transport import retry_after_s
from gridward.core.errors import (
    GetNotPermittedError,
    GridError,
    InvalidInputError,
    NodeUnreachableError,
    RequestPendingError,
)
from gridward.core.plans.expression import Expression
from gridward.core.schemas.computations import QuestionIn
from gridward.core.schemas.requests import (
    ApproveIn,
    EventOut,
    ExportIn,
    NotificationOut,
    NotificationsOut,
    PreviewOut,
    RemarkIn,
    RequestCounts,
    RequestDetail,
    RequestIn,
    RequestOut,
    RequestsOut,
    SeenIn,
)

_PATH: Final = "/v1/requests"
_PREVIEW_S: Final = 600.0
STATUSES: Final = ("pending", "approved", "denied", "expired", "revoked", "withdrawn", "used_up")


class Request:
    """One request as the node described it last; ``refresh`` asks again. It is resumed by its id anywhere."""

    def __init__(self, location: Place, described: RequestDetail) -> None:
        self._location = location
        self._described = described
        self._attempt: str | None = None

    def __repr__(self) -> str:
        said = self._described
        return f"<Request {said.id} {said.status} by {said.asked_by} @{self._location.name}: {said.reason!r}>"

    def _repr_html_(self) -> str:
        said = self._described
        facts = (
            ("request", said.id),
            ("status", said.status),
            ("asked by", said.asked_by),
            ("why", said.reason),
            ("of", ", ".join(source.name for source in said.sources)),
        )
        return notebook.facts((*facts, *((f"{at}", line) for at, line in enumerate(self.operations))))

    @property
    def id(self) -> str:
        """Its id on the node."""
        return self._described.id

    @property
    def status(self) -> str:
        """Where it stood when the node was asked last; one of ``STATUSES``."""
        return self._described.status

    @property
    def described(self) -> RequestDetail:
        """Everything that the node said of it; verdicts and overlap for those who decide only."""
        return self._described

    @property
    def operations(self) -> tuple[str, ...]:
        """The whole plan in words."""
        return tuple(self._described.operations)

    @property
    def events(self) -> tuple[EventOut, ...]:
        """What happened to it, comments included, oldest first."""
        return tuple(self._described.events)

    def refresh(self) -> "Request":
        """Ask the node where it stands."""
        self._described = self._location.transport.fetch(RequestDetail, "GET", self._path())
        return self

    def wait(self, timeout_s: float | None = None) -> "Request":
        """Wait until it is decided, asking when the node says; ``RequestPendingError`` after the time."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            answer = self._location.transport.send("GET", self._path())
            self._described = RequestDetail.model_validate_json(answer.content)
            if self.status != "pending":
                return self
            pause_s = max(1.0, retry_after_s(answer))
            left_s = pause_s if end is None else end - time.monotonic()
            if left_s <= 0:
                raise RequestPendingError(
                    f"request {self.id} still waits for a decision; node.requests[{self.id!r}] finds it again"
                )
            self._location.transport.pause(min(pause_s, left_s))

    def get(self) -> torch.Tensor | dict[str, torch.Tensor]:
        """Fetch what was approved: a tensor, or several by name where the question has several answers.

        The parameters of a model come by name. A call that was cut off may be repeated on this object: it
        counts once.
        Raises ``RequestPendingError``, or ``GetNotPermittedError`` that says what became of it.
        """
        if self._attempt is None:
            _require_approved(self.refresh()._described)
            self._attempt = secrets.token_hex(16)
        try:
            values = self._answer(self._attempt)
        except GridError as why:
            if not isinstance(why, NodeUnreachableError):
                self._attempt = None
            raise
        self._attempt = None
        several = len(values) != 1 or self._described.model_id is not None
        return values if several else next(iter(values.values()))

    def _answer(self, attempt: str) -> dict[str, torch.Tensor]:
        said = self._described
        if said.model_id is not None:
            return exported(self._location, said.model_id, attempt)
        question = QuestionIn(plan=said.plan, sources=said.feeds, values=said.values)
        out = computations.send(self._location, question, release=True, attempt=attempt)
        computations.warn_of(self._location, out)
        return {value.name: wire.decode(value) for value in out.values}

    def comment(self, text: str) -> "Request":
        """Say something to it."""
        return self._remark("comments", text)

    def approve(
        self,
        *,
        times: int | None = None,
        until: datetime | None = None,
        standing: bool = False,
        note: str = "",
    ) -> "Request":
        """Say yes to what this object shows: once, ``times``, ``until`` a moment, or as a standing rule."""
        with checked():
            body = ApproveIn(
                digest=self._described.digest, times=times, until=until, standing=standing, note=note
            )
        return self._described_by("approve", body)

    def deny(self, reason: str) -> "Request":
        """Say no, with a reason that the asker reads."""
        return self._remark("deny", reason)

    def revoke(self, reason: str) -> "Request":
        """Take an approval back; what left has left."""
        return self._remark("revoke", reason)

    def withdraw(self, reason: str) -> "Request":
        """Take one's own request back while nobody has decided; those who decide are told."""
        return self._remark("withdraw", reason)

    def preview(self) -> PreviewOut:
        """See the answer before deciding; for those who may read the data anyway, and written down."""
        return self._location.transport.fetch(
            PreviewOut, "POST", f"{self._path()}/preview", timeout_s=_PREVIEW_S
        )

    def _path(self) -> str:
        return f"{_PATH}/{segment(self.id)}"

    def _remark(self, act: str, text: str) -> "Request":
        with checked():
            body = RemarkIn(text=text)
        return self._described_by(act, body)

    def _described_by(self, act: str, body: ApproveIn | RemarkIn) -> "Request":
        path = f"{self._path()}/{act}"
        self._described = self._location.transport.fetch(RequestDetail, "POST", path, body=body)
        return self


class Requests:
    """``node.requests``: the user's own, and those that they may decide on."""

    def __init__(self, location: Place) -> None:
        self._location = location

    def __iter__(self) -> Iterator[RequestOut]:
        return iter(self.list())

    def __getitem__(self, id: str) -> Request:
        found = self._location.transport.fetch(RequestDetail, "GET", f"{_PATH}/{segment(id)}")
        return Request(self._location, found)

    def __repr__(self) -> str:
        return f"<Requests @{self._location.name}>"

    def list(self, status: str | None = None) -> "list[RequestOut]":
        """All of them, newest first; ``status`` keeps those that stand so."""
        if status is not None and status not in STATUSES:
            raise InvalidInputError(f"there is no status {status!r}; it is one of {', '.join(STATUSES)}")
        wanted: dict[str, str] = {} if status is None else {"status": status}
        return collected(
            lambda page: self._location.transport.fetch(RequestsOut, "GET", _PATH, params={**wanted, **page})
        )

    def counts(self) -> RequestCounts:
        """How many of them stand where."""
        return self._location.transport.fetch(RequestCounts, "GET", f"{_PATH}/counts")


class Notifications:
    """``node.notifications``: what others did on requests that concern the user, until marked as seen."""

    def __init__(self, location: Place) -> None:
        self._location = location

    def __iter__(self) -> Iterator[NotificationOut]:
        return iter(self.list())

    def __repr__(self) -> str:
        return f"<Notifications @{self._location.name}>"

    def list(self) -> "list[NotificationOut]":
        """The oldest hundred that are not marked, oldest first."""
        return self._location.transport.fetch(NotificationsOut, "GET", "/v1/notifications").items

    def seen(self, last: NotificationOut) -> None:
        """Mark this one and all before it as seen."""
        self._location.transport.send("POST", "/v1/notifications/seen", body=SeenIn(up_to=last.id))


def ask(location: Place, outputs: Mapping[str, Expression], reason: str) -> Request:
    """Put a question to those who may open the data; raises ``DuplicateRequestError`` naming the open one."""
    question = computations.question(outputs)
    with checked():
        body = RequestIn(plan=question.plan, sources=question.sources, values=question.values, reason=reason)
    return Request(location, location.transport.fetch(RequestDetail, "POST", _PATH, body=body))


def ask_for_model(location: Place, model_id: str, reason: str) -> Request:
    """Ask for the parameters of a model on a node, as they are now; raises as ``ask``."""
    with checked():
        body = ExportIn(reason=reason)
    path = f"/v1/models/{segment(model_id)}/requests"
    return Request(location, location.transport.fetch(RequestDetail, "POST", path, body=body))


def exported(location: Place, model_id: str, attempt: str) -> dict[str, torch.Tensor]:
    """Fetch the parameters of a model; calls with the same attempt count once."""
    path = f"/v1/models/{segment(model_id)}/content?attempt={attempt}"
    return fetch_tensors(location.transport, path)


def _require_approved(said: RequestDetail) -> None:
    if said.status == "approved":
        return
    if said.status == "pending":
        raise RequestPendingError(f"request {said.id} waits for a decision; wait() waits for it")
    by = f" by {said.decided_by}" if said.status in ("denied", "revoked", "withdrawn") else ""
    because = f": {said.note}" if said.note and by else ""
    raise GetNotPermittedError(f"request {said.id} is {said.status.replace('_', ' ')}{by}{because}")
