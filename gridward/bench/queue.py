"""A real node process with many requests: how long its page of the queue takes, to whom.

Ten requests are asked through the SDK; the rest are their rows over again, written into the node's database,
so that a queue of ten thousand is there within seconds.
"""

import hashlib
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx2
import torch
from sqlalchemy import insert
from sqlmodel import select

import gridward as gw
from gridward.api.tables.requests import AccessRequest, RequestSource
from gridward.bench.callers import measure_calls
from gridward.bench.grid import running_node
from gridward.bench.measure import Options, Result, require
from gridward.client.node import NodeClient
from gridward.client.transport import TIMEOUT
from gridward.core.privacy.approvals import Outcome
from gridward.server.db import Database

ASKERS: Final = 10
CALLS: Final = 40
SHOWN: Final = 25
"""Requests on one page of the queue."""
DENIED: Final = 5
"""Every so many requests one is denied."""
OFFICER: Final = "officer"
TRIAGE: Final = "triage"


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of the queue, who looks, and by how many at once."""

    who: str
    path: str
    callers: int


def run(options: Options) -> Iterator[Result]:
    """Fill the queue of a node with ``requests`` of ten scientists, and measure pages of it."""
    password = secrets.token_urlsafe(18)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        database = f"sqlite:///{folder}/queue.db"
        yield from _run(database, password, options)


def _run(database: str, password: str, options: Options) -> Iterator[Result]:
    with running_node(database_url=database) as owner:
        _ask(owner, password)
        _fill(database, options.requests)
        last = -(-options.requests // SHOWN)
        for page in (
            Page(TRIAGE, "/requests", callers=1),
            Page(TRIAGE, f"/requests?status=all&page={last}", callers=1),
            Page(OFFICER, "/requests", callers=1),
            Page(OFFICER, "/requests?status=denied", callers=1),
            Page(OFFICER, "/requests", callers=4),
        ):
            yield _measure(owner.url, password, page, options)


def _measure(url: str, password: str, page: Page, options: Options) -> Result:
    with httpx2.Client(base_url=url, headers={"accept": "text/html"}, timeout=TIMEOUT) as http:
        form = {"username": page.who, "password": password}
        require(http.post("/sign-in", data=form).status_code == 303, f"{page.who} cannot sign in")

        def call() -> httpx2.Response:
            return http.get(page.path)

        shown = call()
        require(shown.status_code == 200, f"{page.path}: {shown.status_code}")
        rows = shown.text.count('href="/requests/req-')
        require(0 < rows <= SHOWN, f"{page.path}: {rows} requests on a page")
        case = {"requests": options.requests, "who": page.who, "page": page.path, "callers": page.callers}
        measured = measure_calls(call, page.callers, CALLS, options.repeat)
        return Result(case, {"shown": rows, "page_bytes": len(shown.content), **measured})


def _ask(owner: NodeClient, password: str) -> None:
    names = [f"asker-{at}" for at in range(ASKERS)]
    for name, role in ((OFFICER, "data_officer"), (TRIAGE, "compliance_officer")):
        owner.users.add(name, password, role=role)
    for name in names:
        owner.users.add(name, password)
    with gw.connect(owner.url, username=OFFICER, password=password) as officer:
        rows = torch.arange(5, dtype=torch.float64)
        officer.publish(
            "records", {"weight": rows}, access=gw.Access(compute=gw.SIGNED_IN), rows_are_entities=True
        )
    for name in names:
        with gw.connect(owner.url, username=name, password=password) as asker:
            asker.dataset("records")["weight"].mean().request("a question of a long queue")


def _fill(url: str, requests: int) -> None:
    database = Database(url)
    with database.write() as db:
        asked = db.exec(select(AccessRequest)).all()
        source = db.exec(select(RequestSource).limit(1)).one()
        rows = [_copy(asked[number % len(asked)], number) for number in range(len(asked), requests)]
        sources = [source.model_dump() | {"request_id": row["id"]} for row in rows]
        for table, copies in ((AccessRequest, rows), (RequestSource, sources)):
            if copies:
                db.connection().execute(insert(table), copies)
    database.close()


def _copy(row: AccessRequest, number: int) -> dict[str, Any]:
    digest = hashlib.sha256(f"question {number}".encode()).hexdigest()
    outcome = Outcome.OPEN if number % DENIED else Outcome.DENIED
    return row.model_dump() | {
        "id": f"req-{digest[:24]}",
        "digest": digest,
        "outcome": outcome.value,
        "created_at": row.created_at - timedelta(seconds=number),
    }
