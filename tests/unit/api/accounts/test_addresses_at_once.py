"""An account that two change at once: no address becomes confirmed that its holder did not confirm."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from gridward.api.tables.accounts import Invitation, User
from gridward.server import mail, outbox
from gridward.server.addresses import change_address, set_confirmed
from gridward.server.invitations import known, redeemed
from gridward.server.settings import NodeSettings
from tests.support import letters
from tests.support.nodes import PASSWORD, NodeUnderTest, running_node
from tests.support.post import PostOffice

ANA = "ana@example.org"
OTHER = "ana@elsewhere.example"
READ_S = 0.3
"""The other one has read the account by then, and waits."""


@pytest.fixture
def node(settings: NodeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeUnderTest]:
    """A node of bob's that writes letters and sends none; ana's address waits to be confirmed."""
    monkeypatch.setattr(mail, "PAUSE_S", 3600)
    post = PostOffice(tmp_path, port=9).settings()
    with running_node(NodeSettings(**settings.model_dump(exclude_unset=True) | post)) as found:
        found.as_("bob")
        assert put_mail(found, ANA).status_code == 200
        yield found


def put_mail(node: NodeUnderTest, email: str) -> Any:
    body = {"email": email, "password": PASSWORD}
    return node.client.put("/v1/users/me/mail", json=body, headers=node.as_("ana"))


def patch_mail(node: NodeUnderTest, email: str, username: str = "ana") -> Any:
    return node.client.patch(f"/v1/users/{username}", json={"email": email}, headers=node.as_("bob"))


def code(node: NodeUnderTest) -> str:
    letter = outbox.read(node.node.accounts, letters.outbox(node)[-1])
    assert letter is not None
    return letters.one_time(letter.text)


def meanwhile(node: NodeUnderTest, change: Callable[[Session, User], None], act: Callable[[], Any]) -> Any:
    """Begin to act while a change of ana's account is written and not yet there for others."""
    with ThreadPoolExecutor(1) as pool:
        with node.node.database.write() as db:
            user = db.exec(select(User).where(User.username == "ana").with_for_update()).one()
            change(db, user)
            db.add(user)
            db.flush()
            acting = pool.submit(act)
            wait([acting], READ_S)
        return acting.result()


def state(node: NodeUnderTest, username: str = "ana") -> tuple[str | None, bool]:
    with node.node.database.read() as db:
        user = db.exec(select(User).where(User.username == username)).one()
    return user.email, user.email_confirmed


def moved(node: NodeUnderTest) -> Callable[[Session, User], None]:
    return lambda db, user: change_address(db, node.node.accounts, user, OTHER)


def test_a_code_does_not_confirm_the_address_that_an_administrator_sets_meanwhile(
    node: NodeUnderTest,
) -> None:
    known = code(node)
    assert meanwhile(node, moved(node), lambda: letters.confirm(node, "ana", known)).status_code == 401
    assert state(node) == (OTHER, False)


@pytest.mark.parametrize("change", [put_mail, patch_mail])
def test_an_address_that_is_taken_while_the_former_is_confirmed_is_not(
    node: NodeUnderTest, change: Callable[[NodeUnderTest, str], Any]
) -> None:
    answer = meanwhile(node, lambda _, user: set_confirmed(user), lambda: change(node, OTHER))
    assert answer.status_code == 200
    assert state(node) == (OTHER, False)


def test_no_new_password_is_mailed_to_an_address_that_is_left_meanwhile(node: NodeUnderTest) -> None:
    letters.confirmed(node, "ana")

    def ask() -> Any:
        return node.client.post("/v1/password-resets", json={"username": "ana"})

    assert meanwhile(node, moved(node), ask).status_code == 202
    with node.node.database.read() as db:
        assert db.exec(select(Invitation)).all() == []
    assert sorted(row.address for row in letters.outbox(node)) == sorted((ANA, OTHER))


def test_an_invitation_confirms_no_address_that_is_set_while_it_is_taken_up(node: NodeUnderTest) -> None:
    body = {"username": "dan", "invited": True, "email": "dan@example.org"}
    assert node.client.post("/v1/users", json=body, headers=node.as_("bob")).status_code == 201
    assert node.client.post("/v1/users/dan/invitation", headers=node.as_("bob")).json()["mailed"]
    token, accounts = code(node), node.node.accounts
    with ThreadPoolExecutor(1) as pool:
        with redeemed(accounts, known(accounts, token, "here"), token):
            acting = pool.submit(patch_mail, node, OTHER, "dan")
            wait([acting], READ_S)
        assert acting.result().status_code == 200
    assert state(node, "dan") == (OTHER, False)
