"""Letters that wait in a node's outbox, and the codes that they hold."""

import re
from typing import Any

from sqlmodel import select

from gridward.api.tables.accounts import Outbox
from gridward.server.outbox import read
from tests.support.nodes import NodeUnderTest


def outbox(node: NodeUnderTest) -> list[Outbox]:
    """All letters, in the order in which they were written."""
    with node.node.database.read() as db:
        return list(db.exec(select(Outbox).order_by(Outbox.created_at, Outbox.id)).all())


def one_time(text: str) -> str:
    """The code or token of a letter."""
    found = re.search(r"^    (\S{32})\s*$", text, re.MULTILINE)
    assert found
    return found[1]


def confirmed(node: NodeUnderTest, user: str) -> Any:
    """Confirm a user's address with the code of the letter that waits; the letter is taken out unsent."""
    with node.node.database.write() as db:
        texts = {row.id: (row, _written(node, row)) for row in outbox(node)}
        row, text = next(found for found in texts.values() if "enter this code" in found[1])
        db.delete(db.get_one(Outbox, row.id))
    answer = confirm(node, user, one_time(text))
    assert answer.status_code == 200, answer.text
    return answer.json()


def confirm(node: NodeUnderTest, user: str, code: str) -> Any:
    """Send a code back."""
    body = {"code": code}
    return node.client.post("/v1/users/me/mail/confirmation", json=body, headers=node.as_(user))


def _written(node: NodeUnderTest, row: Outbox) -> str:
    letter = read(node.node.accounts, row)
    return "" if letter is None else letter.text
