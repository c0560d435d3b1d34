"""Letters: what is written in an act's transaction leaves over a real SMTP server, at least once."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from gridward.api import request_entry
from gridward.api.tables.accounts import AuditEntry, User
from gridward.server import mail, smtp
from gridward.server.outbox import put
from gridward.server.settings import NodeSettings
from tests.support.asking import approve, asked
from tests.support.files import publish
from tests.support.gateways import MovingClock
from tests.support.letters import confirmed, one_time, outbox
from tests.support.nodes import PASSWORD, NodeUnderTest, running_node
from tests.support.post import PostOffice
from tests.support.questions import column

ANA = "ana@example.org"
BOB = "bob@example.org"
HOUR_S = 3600.0


@pytest.fixture
def post(tmp_path: Path) -> Iterator[PostOffice]:
    office = PostOffice(tmp_path)
    with office.open():
        pass
    yield office


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
def node(
    post: PostOffice,
    clock: MovingClock,
    tmp_path: Path,
    database_url: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[NodeUnderTest]:
    """A node that sends mail when a test says so, not by its thread; its owner bob has an address."""
    monkeypatch.setattr(mail, "PAUSE_S", 3600)
    settings = NodeSettings(
        data_dir=tmp_path / "node",
        database_url=database_url,
        password_memory_kib=1024,
        password_passes=1,
        public_url="https://node.example",
        **post.settings(),
    )
    with running_node(settings, clock) as found:
        set_mail(found, "bob", BOB)
        yield found


def set_mail(node: NodeUnderTest, user: str, email: str | None, **more: str) -> Any:
    """Take an address and confirm it with the code of its letter, which leaves the outbox unsent."""
    body = {"email": email, "password": PASSWORD} | more
    answer = node.client.put("/v1/users/me/mail", json=body, headers=node.as_(user))
    assert answer.status_code == 200, answer.text
    return answer.json() if answer.json()["email_confirmed"] else confirmed(node, user)


def deliver(node: NodeUnderTest, post: PostOffice) -> None:
    with post.open():
        mail.deliver(node.node.accounts)


def births(node: NodeUnderTest) -> Any:
    access = {"discover": ["@signed-in"], "compute": ["@signed-in"]}
    arrays = {"weight": [3.25, 3.5, 4.75]}
    return publish(node, node.as_("bob"), arrays, name="hidden-births", access=access)


def token_in(post: PostOffice) -> str:
    return one_time(str(post.letters[-1].get_content()))


def test_a_request_and_its_decision_reach_owner_and_asker(node: NodeUnderTest, post: PostOffice) -> None:
    data = births(node)
    set_mail(node, "ana", ANA)
    node.as_("guest", "guest")
    set_mail(node, "guest", "guest@example.org")
    request = asked(node, node.as_("ana"), column(data, "weight").mean(), reason="why not 3.25?")
    assert approve(node, node.as_("bob"), request, note="of 4.75 kg").status_code == 200
    deliver(node, post)
    assert sorted((one["To"], one["Subject"]) for one in post.letters) == [
        (ANA, f"Request {request['id']}: bob approved it"),
        (BOB, f"Request {request['id']}: ana asks for a decision"),
    ]
    assert all(post.protected)
    for letter in post.letters:
        text = letter.as_string()
        assert "--url https://node.example" in text
        assert not [word for word in ("3.25", "4.75", "hidden-births", "weight", "why not") if word in text]


def test_an_act_that_is_rolled_back_sends_nothing(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("after the letter was written")

    data, ana = births(node), node.as_("ana")
    monkeypatch.setattr(request_entry, "detail", fail)
    with pytest.raises(RuntimeError, match="after the letter"):
        asked(node, ana, column(data, "weight").mean())
    assert outbox(node) == []


def test_who_wants_no_notices_gets_none_but_what_they_asked_for(
    node: NodeUnderTest, post: PostOffice
) -> None:
    data = births(node)
    set_mail(node, "bob", BOB, mails="none")
    asked(node, node.as_("ana"), column(data, "weight").mean())
    assert outbox(node) == []
    assert node.client.post("/v1/password-resets", json={"username": "bob"}).status_code == 202
    assert [row.address for row in outbox(node)] == [BOB]


def test_a_server_that_is_down_gets_the_letter_when_it_is_up_again(
    node: NodeUnderTest, post: PostOffice, clock: MovingClock
) -> None:
    asked(node, node.as_("ana"), column(births(node), "weight").mean())
    for attempts in (1, 2):
        mail.deliver(node.node.accounts)
        assert [(row.state, row.attempts) for row in outbox(node)] == [("waiting", attempts)]
        mail.deliver(node.node.accounts)
        assert outbox(node)[0].attempts == attempts  # not due yet
        clock.forward(16 * attempts)
    deliver(node, post)
    (row,) = outbox(node)
    assert (row.state, row.sealed, len(post.letters)) == ("sent", "", 1)
    deliver(node, post)
    assert len(post.letters) == 1


def test_a_crash_after_sending_sends_the_same_letter_again(
    node: NodeUnderTest, post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(node, node.as_("ana"), column(births(node), "weight").mean())

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mail, "_end", die)
        with pytest.raises(KeyboardInterrupt):
            deliver(node, post)
    deliver(node, post)
    assert len(post.letters) == 2
    assert post.letters[0]["Message-ID"] == post.letters[1]["Message-ID"]
    assert outbox(node)[0].state == "sent"


def test_a_refused_address_ends_its_letter_and_no_other(node: NodeUnderTest, post: PostOffice) -> None:
    data = births(node)
    node.as_("carol", "admin")
    set_mail(node, "carol", "carol@example.org")
    post.refused[BOB] = "550 no such person"
    asked(node, node.as_("ana"), column(data, "weight").mean())
    deliver(node, post)
    assert post.receivers == ["carol@example.org"]
    found = {row.address: (row.state, row.failure) for row in outbox(node)}
    assert found == {BOB: ("given_up", "refused with 550"), "carol@example.org": ("sent", "")}


def test_a_refusal_for_now_waits(node: NodeUnderTest, post: PostOffice, clock: MovingClock) -> None:
    post.refused[BOB] = "451 come back"
    asked(node, node.as_("ana"), column(births(node), "weight").mean())
    deliver(node, post)
    assert outbox(node)[0].state == "waiting"
    post.refused.clear()
    clock.forward(16)
    deliver(node, post)
    assert post.receivers == [BOB]


def test_a_refusal_of_one_address_for_now_holds_up_no_other(
    node: NodeUnderTest, post: PostOffice, clock: MovingClock
) -> None:
    set_mail(node, "ana", ANA)
    post.refused[BOB] = "452 mailbox full"
    for name in ("bob", "ana"):
        assert node.client.post("/v1/password-resets", json={"username": name}).status_code == 202
        clock.forward(1)
    deliver(node, post)
    assert post.receivers == [ANA]
    found = [(row.address, row.state, row.attempts) for row in outbox(node)]
    assert found == [(BOB, "waiting", 1), (ANA, "sent", 0)]


def test_what_could_not_leave_in_time_is_given_up_and_later_forgotten(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    asked(node, node.as_("ana"), column(births(node), "weight").mean())
    clock.forward(4 * 24 * HOUR_S)
    mail.deliver(node.node.accounts)
    (row,) = outbox(node)
    assert (row.state, row.failure, row.sealed) == ("given_up", "expired", "")
    clock.forward(8 * 24 * HOUR_S)
    mail.deliver(node.node.accounts)
    assert outbox(node) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # aiosmtpd's, of its TLS
def test_neither_password_nor_letter_goes_to_a_server_without_tls_or_with_anothers_certificate(
    node: NodeUnderTest, post: PostOffice, clock: MovingClock, caplog: pytest.LogCaptureFixture
) -> None:
    asked(node, node.as_("ana"), column(births(node), "weight").mean())
    with post.open(tls=False):
        mail.deliver(node.node.accounts)
    node.node.settings.mail_ca_file = None
    clock.forward(16)
    deliver(node, post)
    assert post.letters == []
    assert [(row.state, row.attempts) for row in outbox(node)] == [("waiting", 2)]
    said = [record.getMessage() for record in caplog.records if record.name == "gridward.mail"]
    assert ["SMTPNotSupportedError" in said[0], "SSLCertVerificationError" in said[1]] == [True, True]


def test_a_letter_at_rest_is_sealed(node: NodeUnderTest) -> None:
    node.client.post("/v1/users", headers=node.as_("bob"), json={"username": "dan", "invited": True})
    answer = node.client.patch("/v1/users/dan", headers=node.as_("bob"), json={"email": "dan@example.org"})
    assert answer.json()["email"] == "dan@example.org"
    made = node.client.post("/v1/users/dan/invitation", headers=node.as_("bob")).json()
    assert made["mailed"] is True
    (row,) = outbox(node)
    assert made["token"] not in row.model_dump_json()
    assert made["token"].encode().hex() not in row.sealed


def test_an_invitation_comes_by_mail_and_opens_the_account(node: NodeUnderTest, post: PostOffice) -> None:
    body = {"username": "dan", "invited": True, "email": "dan@example.org"}
    node.client.post("/v1/users", headers=node.as_("bob"), json=body)
    node.client.post("/v1/users/dan/invitation", headers=node.as_("bob"))
    deliver(node, post)
    accepted = node.client.post(
        "/v1/invitations", json={"token": token_in(post), "password": "a new password"}
    )
    assert accepted.json()["username"] == "dan"
    assert node.sign_in("dan", "a new password").status_code == 201


def test_a_lost_password_is_set_anew_by_mail_once(node: NodeUnderTest, post: PostOffice) -> None:
    set_mail(node, "ana", ANA)
    assert node.client.post("/v1/password-resets", json={"username": "ana"}).status_code == 202
    deliver(node, post)
    body = {"token": token_in(post), "password": "a new password"}
    assert node.client.post("/v1/invitations", json=body).status_code == 200
    assert node.client.post("/v1/invitations", json=body).status_code == 401
    assert node.sign_in("ana", "a new password").status_code == 201
    assert node.sign_in("ana").status_code == 401


def test_a_reset_that_a_stranger_asks_for_ends_no_invitation(
    node: NodeUnderTest, post: PostOffice, clock: MovingClock
) -> None:
    set_mail(node, "ana", ANA)
    token = node.client.post("/v1/users/ana/invitation", headers=node.as_("bob")).json()["token"]
    assert node.client.post("/v1/password-resets", json={"username": "ana"}).status_code == 202
    assert len(outbox(node)) == 1
    body = {"token": token, "password": "a new password"}
    assert node.client.post("/v1/invitations", json=body).status_code == 200
    node.client.post("/v1/users/ana/invitation", headers=node.as_("bob"))
    clock.forward(node.node.settings.invitation_s)
    assert node.client.post("/v1/password-resets", json={"username": "ana"}).status_code == 202
    deliver(node, post)
    assert post.letters[-1]["Subject"].startswith("A new password")


def test_letters_with_a_token_name_the_page_that_takes_it(node: NodeUnderTest, post: PostOffice) -> None:
    set_mail(node, "ana", ANA)
    node.client.post("/v1/password-resets", json={"username": "ana"})
    node.client.post("/v1/users/ana/invitation", headers=node.as_("bob"))
    deliver(node, post)
    assert len(post.letters) == 2
    for letter in post.letters:
        (link,) = re.findall(r"https://node\.example(/\S+)", str(letter.get_content()))
        assert 'action="/accept"' in node.client.get(link, headers={"Accept": "text/html"}).text


def test_asking_for_a_reset_tells_nobody_whether_there_is_such_an_account(node: NodeUnderTest) -> None:
    set_mail(node, "ana", ANA)
    node.as_("carol")  # without an address
    names = ("ana", "carol", "nobody")
    rounds = [
        [node.client.post("/v1/password-resets", json={"username": name}) for name in names] for _ in range(4)
    ]
    for answers in rounds:
        assert (
            len({(answer.status_code, answer.json() and answer.json().get("code")) for answer in answers})
            == 1
        )
    assert rounds[0][0].status_code == 202
    assert {row.address for row in outbox(node)} == {ANA}
    with node.node.database.read() as db:
        written = db.exec(select(AuditEntry).where(AuditEntry.action == "ask_reset")).all()
    assert sorted({row.subject for row in written}) == sorted(names)
    assert len({(row.reason, row.decision) for row in written}) == 1


def test_a_locked_account_gets_no_mail(node: NodeUnderTest) -> None:
    set_mail(node, "ana", ANA)
    node.client.patch("/v1/users/ana", headers=node.as_("bob"), json={"disabled": True})
    node.client.post("/v1/password-resets", json={"username": "ana"})
    assert outbox(node) == []


def test_another_address_takes_the_password_tells_the_old_one_and_ends_open_tokens(
    node: NodeUnderTest, post: PostOffice
) -> None:
    set_mail(node, "ana", ANA)
    node.client.post("/v1/password-resets", json={"username": "ana"})
    deliver(node, post)
    token = token_in(post)
    for body in ({"email": "new@example.org"}, {"email": "new@example.org", "password": "not this one"}):
        answer = node.client.put("/v1/users/me/mail", json=body, headers=node.as_("ana"))
        assert (answer.status_code, answer.json()["code"]) == (401, "wrong_credentials")
    assert node.client.put("/v1/users/me/mail", json={"email": ANA}, headers=node.as_("ana")).is_success
    assert set_mail(node, "ana", "new@example.org")["email"] == "new@example.org"
    deliver(node, post)
    assert (post.letters[-1]["To"], len(post.letters)) == (ANA, 2)
    body = {"token": token, "password": "a new password"}
    assert node.client.post("/v1/invitations", json=body).status_code == 401


def test_an_account_sends_letters_to_few_addresses_by_taking_them(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    ana, body = node.as_("ana"), {"password": PASSWORD}
    changes = [body | {"email": f"victim{one}@example.org"} for one in range(7)]
    found = [node.client.put("/v1/users/me/mail", json=change, headers=ana) for change in changes]
    assert [answer.status_code for answer in found] == [200] * 5 + [429] * 2
    assert {row.address for row in outbox(node)} == {change["email"] for change in changes[:5]}
    same = {"email": "victim4@example.org", "mails": "none"}
    assert node.client.put("/v1/users/me/mail", json=same, headers=ana).status_code == 200
    clock.forward(HOUR_S / 5)
    again = node.client.put("/v1/users/me/mail", json=changes[5], headers=node.as_("ana"))
    assert again.status_code == 200


def test_who_may_not_manage_an_account_changes_no_address_of_it(node: NodeUnderTest) -> None:
    node.as_("carol", "admin")
    node.as_("ana")
    change = {"email": "mallory@example.org"}
    assert node.client.patch("/v1/users/bob", json=change, headers=node.as_("carol")).status_code == 403
    assert node.client.patch("/v1/users/carol", json=change, headers=node.as_("ana")).status_code == 403
    assert node.client.patch("/v1/users/carol", json=change, headers=node.as_("carol")).status_code == 403


@pytest.mark.parametrize(
    "address",
    [
        "a@b\nBcc: c@d.e",
        "a@b\r\n",
        "a b@c.d",
        "<a@b.c>",
        "a@b@c",
        "@b.c",
        "a@",
        "a@-b.c",
        "ä@b.c",
        "a@b.c,d@e.f",
    ],
)
def test_an_address_that_could_be_more_than_one_is_refused(node: NodeUnderTest, address: str) -> None:
    answer = node.client.put(
        "/v1/users/me/mail", json={"email": address, "password": PASSWORD}, headers=node.as_("bob")
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


def test_no_header_of_a_letter_can_hold_a_line_break(node: NodeUnderTest, post: PostOffice) -> None:
    asked(node, node.as_("ana"), column(births(node), "weight").mean())
    (row,) = outbox(node)
    with pytest.raises(ValueError, match="linefeed"):
        smtp.message(node.node.settings, row, smtp.Letter("Hi\nBcc: eve@example.org", "text"))


def test_a_letter_that_cannot_be_written_holds_up_no_other(
    node: NodeUnderTest, post: PostOffice, clock: MovingClock
) -> None:
    accounts = node.node.accounts
    with node.node.database.write() as db:
        bob = db.exec(select(User).where(User.username == "bob")).one()
        put(db, accounts, bob, smtp.Letter("Hi\nBcc: eve@example.org", "text"))
    clock.forward(1)
    asked(node, node.as_("ana"), column(births(node), "weight").mean())
    deliver(node, post)
    assert [(row.state, row.failure) for row in outbox(node)] == [("given_up", "unwritable"), ("sent", "")]


def test_the_log_names_letters_but_nobody(
    node: NodeUnderTest, post: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    post.refused[BOB] = f"550 {BOB} is not here"
    asked(node, node.as_("ana"), column(births(node), "weight").mean())
    mail.deliver(node.node.accounts)
    node.node.clock.forward(16)  # type: ignore[attr-defined]
    deliver(node, post)
    said = [record.getMessage() for record in caplog.records if record.name == "gridward.mail"]
    assert len(said) == 2
    assert not [line for line in said if "@" in line]
