"""Letters go only where the holder of the account has shown that they arrive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from gridward.api.tables.accounts import User
from gridward.server import mail
from gridward.server.settings import NodeSettings
from tests.support.asking import approve, asked
from tests.support.files import publish
from tests.support.gateways import MovingClock
from tests.support.letters import confirm, confirmed, one_time, outbox
from tests.support.nodes import PASSWORD, NodeUnderTest, running_node
from tests.support.post import PostOffice
from tests.support.questions import column

ANA = "ana@example.org"
OTHER = "ana@elsewhere.example"


@pytest.fixture
def post(tmp_path: Path) -> PostOffice:
    return PostOffice(tmp_path, port=9)


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
def node(
    settings: NodeSettings, post: PostOffice, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NodeUnderTest]:
    """A node of bob's that sends mail when a test says so, not by its thread."""
    monkeypatch.setattr(mail, "PAUSE_S", 3600)
    given = settings.model_dump(exclude_unset=True) | post.settings(mail_confirm_s=60)
    with running_node(NodeSettings(**given), clock) as found:
        yield found


def take(node: NodeUnderTest, user: str, email: str | None) -> Any:
    body = {"email": email, "password": PASSWORD}
    answer = node.client.put("/v1/users/me/mail", json=body, headers=node.as_(user))
    assert answer.status_code == 200, answer.text
    return answer.json()


def sent_code(node: NodeUnderTest) -> str:
    """The code of the newest letter, which is taken out."""
    with node.node.database.write() as db:
        row = outbox(node)[-1]
        letter = mail.outbox.read(node.node.accounts, row)
        db.delete(db.get_one(type(row), row.id))
    assert letter is not None
    return one_time(letter.text)


def invited(node: NodeUnderTest, name: str = "dan") -> str:
    """Invite somebody by mail, and return the token that is shown to the administrator."""
    body = {"username": name, "invited": True, "email": f"{name}@example.org"}
    assert node.client.post("/v1/users", json=body, headers=node.as_("bob")).status_code == 201
    made = node.client.post(f"/v1/users/{name}/invitation", headers=node.as_("bob")).json()
    assert made["mailed"] is True
    return str(made["token"])


def is_confirmed(node: NodeUnderTest, user: str) -> bool:
    return bool(node.client.get(f"/v1/users/{user}", headers=node.as_("bob")).json()["email_confirmed"])


def test_an_address_gets_a_code_and_nothing_else_before_its_holder_sends_the_code_back(
    node: NodeUnderTest, post: PostOffice
) -> None:
    data = publish(
        node, node.as_("bob"), {"weight": [1.0]}, name="few", access={"compute": ["ana"], "discover": ["ana"]}
    )
    assert take(node, "ana", ANA)["email_confirmed"] is False

    def tell(factor: float) -> None:
        request = asked(node, node.as_("ana"), (column(data, "weight") * factor).mean())
        assert approve(node, node.as_("bob"), request).status_code == 200
        assert node.client.post("/v1/password-resets", json={"username": "ana"}).status_code == 202

    tell(1.0)
    post.port = 0
    with post.open():
        node.node.settings.mail_port = post.port
        mail.deliver(node.node.accounts)
        assert [str(letter["Subject"]).partition(" at ")[0] for letter in post.letters] == [
            "Confirm your e-mail address"
        ]
        code = one_time(str(post.letters[0].get_content()))
        assert confirm(node, "ana", code).json()["email_confirmed"] is True
        assert confirm(node, "ana", code).status_code == 401
        tell(2.0)
        mail.deliver(node.node.accounts)
    assert (set(post.receivers), len(post.letters)) == ({ANA}, 3)


def test_who_gets_the_code_by_mistake_can_do_nothing_with_it(node: NodeUnderTest) -> None:
    take(node, "ana", "somebody@example.org")
    code = sent_code(node)
    assert confirm(node, "eve", code).status_code == 401
    body = {"code": code}
    assert node.client.post("/v1/users/me/mail/confirmation", json=body).status_code == 401
    node.client.post("/v1/password-resets", json={"username": "ana"})
    assert (outbox(node), is_confirmed(node, "ana")) == ([], False)


def test_a_code_ends_by_time_by_a_later_one_and_with_its_address(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    take(node, "ana", ANA)
    first = sent_code(node)
    again = node.client.post("/v1/users/me/mail/code", headers=node.as_("ana"))
    assert again.status_code == 202
    second = sent_code(node)
    take(node, "ana", OTHER)
    third = sent_code(node)
    assert [confirm(node, "ana", code).status_code for code in (first, second)] == [401, 401]
    clock.forward(node.node.settings.mail_confirm_s)
    assert confirm(node, "ana", third).status_code == 401
    assert is_confirmed(node, "ana") is False


def test_codes_are_kept_as_hashes_and_guesses_and_letters_are_limited(node: NodeUnderTest) -> None:
    take(node, "ana", ANA)
    code = sent_code(node)
    with node.node.database.read() as db:
        stored = db.exec(select(User).where(User.username == "ana")).one().model_dump_json()
    assert code not in stored
    guesses = [confirm(node, "ana", f"guess {one}").status_code for one in range(11)]
    assert guesses == [401] * 10 + [429]
    letters = [node.client.post("/v1/users/me/mail/code", headers=node.as_("ana")) for _ in range(5)]
    assert [answer.status_code for answer in letters] == [202] * 4 + [429]


def test_a_code_is_sent_only_where_there_is_something_to_confirm(node: NodeUnderTest) -> None:
    def ask() -> int:
        return node.client.post("/v1/users/me/mail/code", headers=node.as_("ana")).status_code

    assert ask() == 409
    take(node, "ana", ANA)
    confirmed(node, "ana")
    assert ask() == 409
    assert outbox(node) == []


def test_an_invitation_confirms_the_address_only_if_it_was_taken_up_through_its_letter(
    node: NodeUnderTest,
) -> None:
    for name, by_letter in (("dan", True), ("eli", False)):
        shown = invited(node, name)
        mailed = sent_code(node)
        assert mailed != shown
        token, other = (mailed, shown) if by_letter else (shown, mailed)
        body = {"token": token, "password": "a new password"}
        accepted = node.client.post("/v1/invitations", json=body)
        assert (accepted.status_code, accepted.json()["email_confirmed"]) == (200, by_letter)
        assert node.client.post("/v1/invitations", json=body | {"token": other}).status_code == 401
        assert is_confirmed(node, name) is by_letter
        assert len(outbox(node)) == (not by_letter)


def test_a_new_password_for_an_account_with_a_holder_is_mailed_to_a_confirmed_address_only(
    node: NodeUnderTest,
) -> None:
    def draw() -> Any:
        return node.client.post("/v1/users/ana/invitation", headers=node.as_("bob")).json()

    take(node, "ana", "somebody@example.org")
    assert (draw()["mailed"], len(outbox(node))) == (False, 1)
    confirmed(node, "ana")
    assert (draw()["mailed"], len(outbox(node))) == (True, 1)
    take(node, "ana", OTHER)
    made = draw()
    assert (made["mailed"], {row.address for row in outbox(node)}) == (False, {"somebody@example.org", OTHER})
    body = {"token": made["token"], "password": "a new password"}
    assert node.client.post("/v1/invitations", json=body).json()["email_confirmed"] is False


def test_a_server_that_sends_no_mail_counts_no_letters(node: NodeUnderTest) -> None:
    node.node.settings.mail_host = None
    asked_for = [node.client.post("/v1/users/me/mail/code", headers=node.as_("ana")) for _ in range(7)]
    assert [answer.status_code for answer in asked_for] == [409] * 7


def test_an_address_that_an_administrator_sets_is_not_confirmed_by_that(node: NodeUnderTest) -> None:
    take(node, "ana", ANA)
    confirmed(node, "ana")
    change = {"email": OTHER}
    assert node.client.patch("/v1/users/ana", json=change, headers=node.as_("bob")).status_code == 200
    assert is_confirmed(node, "ana") is False
    assert {row.address for row in outbox(node)} == {ANA, OTHER}  # the old one is told, the new one asked
    node.client.post("/v1/password-resets", json={"username": "ana"})
    assert len(outbox(node)) == 2
