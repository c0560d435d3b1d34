"""A real node process with many requests: how long its page of the queue takes, to whom."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import httpx2
import torch

import gridward as gw
from gridward.bench.callers import measure_calls
from gridward.bench.grid import running_node
from gridward.bench.measure import Options, Result, require
from gridward.client.node import NodeClient
from gridward.client.transport import TIMEOUT

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
    """Put ``requests`` questions of ten scientists, deny a fifth of them, and measure pages of the queue."""
    password = secrets.token_urlsafe(18)
    with running_node(requests_open=options.requests) as owner:
        owner.users.add(OFFICER, password, role="data_officer")
        owner.users.add(TRIAGE, password, role="compliance_officer")
        _fill(owner, password, options.requests)
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


def _fill(owner: NodeClient, password: str, requests: int) -> None:
    names = [f"asker-{at}" for at in range(ASKERS)]
    for name in names:
        owner.users.add(name, password)
    with gw.connect(owner.url, username=OFFICER, password=password) as officer:
        rows = torch.arange(5, dtype=torch.float64)
        officer.publish("records", {"weight": rows}, access=gw.Access(compute=gw.SIGNED_IN))
    parts = [range(at, requests, ASKERS) for at in range(ASKERS)]
    with ThreadPoolExecutor(ASKERS) as pool:
        list(pool.map(lambda name, part: _ask(owner, name, password, part), names, parts))


def _ask(owner: NodeClient, name: str, password: str, part: range) -> None:
    with gw.connect(owner.url, username=name, password=password) as asker:
        weight = asker.dataset("records")["weight"]
        for number in part:
            asked = (weight * number).mean().request(f"question {number} of a long queue")
            if number % DENIED == 0:
                owner.requests[asked.id].deny("not this one")
