"""Requests over HTTP: what scientists put to people, and what people answer."""

from typing import Any

import numpy as np
from httpx2 import Response
from sqlmodel import select

from gridward.api.tables.accounts import AuditEntry
from gridward.core.plans.expression import Expression
from tests.support.nodes import NodeUnderTest
from tests.support.questions import Headers, question

Said = dict[str, Any]
WEIGHT = np.array([3.5, 3.7, 3.9, 4.1, 4.1])
OPEN = {"discover": ["@signed-in"], "compute": ["@signed-in"]}


def put(node: NodeUnderTest, headers: Headers, *answers: Expression, **more: Any) -> Response:
    """Send a request for these answers."""
    body = question(*answers) | {"reason": "ward report"} | more
    del body["release"]
    return node.client.post("/v1/requests", json=body, headers=headers)


def asked(node: NodeUnderTest, headers: Headers, *answers: Expression, **more: Any) -> dict[str, Any]:
    """Send a request and expect it to be taken."""
    answer = put(node, headers, *answers, **more)
    assert answer.status_code == 201, answer.text
    said: dict[str, Any] = answer.json()
    return said


def act(node: NodeUnderTest, headers: Headers, request: dict[str, Any], what: str, **body: Any) -> Response:
    """Approve, deny, revoke, preview or comment."""
    return node.client.post(f"/v1/requests/{request['id']}/{what}", json=body, headers=headers)


def approve(node: NodeUnderTest, headers: Headers, request: dict[str, Any], **terms: Any) -> Response:
    """Agree to what the request's digest names."""
    return act(node, headers, request, "approve", digest=request["digest"], **terms)


def shown(node: NodeUnderTest, headers: Headers, request: dict[str, Any]) -> dict[str, Any]:
    """Read a request."""
    answer = node.client.get(f"/v1/requests/{request['id']}", headers=headers)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def audits(node: NodeUnderTest, action: str, request: Said) -> list[AuditEntry]:
    """What the log says of a request."""
    with node.node.database.read() as db:
        wanted = select(AuditEntry).where(AuditEntry.action == action)
        return [row for row in db.exec(wanted).all() if row.request_id == request["id"]]
