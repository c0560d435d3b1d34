"""Pages about mail: one's own address, others' addresses, a lost password."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from sqlmodel import select

from gridward.api.tables.accounts import User
from gridward.server.outbox import read
from gridward.server.settings import NodeSettings
from tests.support.letters import one_time, outbox
from tests.support.nodes import PASSWORD, NodeUnderTest, running_node
from tests.support.post import PostOffice
from tests.support.visitors import BROWSER, Visitor, forms_on, text_of


@pytest.fixture
def mailing(settings: NodeSettings) -> Iterator[NodeUnderTest]:
    """A node of bob's that sends mail, to a post office that is closed."""
    office = PostOffice(settings.data_dir.parent, port=9)
    sending = office.settings(mail_security="none", mail_host="127.0.0.1", mail_user=None, mail_ca_file=None)
    given = settings.model_dump(exclude_unset=True) | sending | {"mail_password_file": None}
    wanted = NodeSettings(**given)
    with running_node(wanted) as found:
        yield found


def test_another_address_takes_the_password_and_the_choice_does_not(mailing: NodeUnderTest) -> None:
    bob = Visitor(mailing.client, "bob")
    assert bob.send("/account/mail", email="bob@clinic.test", mails="all").status_code == 401
    assert bob.send("/account/mail", email="<b>", mails="all", password=PASSWORD).status_code == 422
    bob.sends("/account/mail", email="bob@clinic.test", mails="all", password=PASSWORD)
    page = bob.sends("/account/mail", email="bob@clinic.test", mails="none").text
    assert 'value="bob@clinic.test"' in page
    assert '<option value="none" selected>' in page
    assert 'value="bob@clinic.test"' not in bob.sends("/account/mail", mails="all", password=PASSWORD).text


def test_the_account_page_takes_the_code_that_was_mailed(mailing: NodeUnderTest) -> None:
    bob = Visitor(mailing.client, "bob")
    assert "/account/mail/confirmation" not in forms_on(bob.shows("/account"))
    asked = bob.sends("/account/mail", email="bob@clinic.test", mails="all", password=PASSWORD).text
    assert {"/account/mail/confirmation", "/account/mail/code"} <= set(forms_on(asked))
    assert "A letter is on its way." in text_of(bob.sends("/account/mail/code").text)
    assert bob.send("/account/mail/confirmation", code="not this one").status_code == 401
    with mailing.node.database.read() as db:
        letters = [read(mailing.node.accounts, row) for row in outbox(mailing)]
        codes = [one_time(letter.text) for letter in letters if letter is not None]
        user = db.exec(select(User).where(User.username == "bob")).one()
        newest = [code for code in codes if sha256(code.encode()).hexdigest() == user.email_code_hash]
    page = bob.sends("/account/mail/confirmation", code=newest[0]).text
    assert "/account/mail/confirmation" not in forms_on(page)
    assert 'value="bob@clinic.test"' in page


def test_addresses_of_others_are_set_and_get_invitations(mailing: NodeUnderTest) -> None:
    bob = Visitor(mailing.client, "bob")
    made = bob.sends(
        "/users", username="ana", role="data_scientist", invited="true", email="ana@clinic.test"
    ).text
    assert "goes to the account's e-mail address too" in made.replace("&#39;", "'")
    assert "ana@clinic.test" in bob.shows("/users/ana")
    assert "ana@home.test" in bob.sends("/users/ana/mail", email="ana@home.test").text
    assert "ana@home.test" not in bob.sends("/users/ana/mail", email="").text
    assert "e-mail address too" not in bob.sends("/users/ana/invitation").text


def test_who_forgot_the_password_is_told_the_same_whoever_they_are(mailing: NodeUnderTest) -> None:
    Visitor(mailing.client, "bob").sends(
        "/account/mail", email="bob@clinic.test", mails="all", password=PASSWORD
    )
    assert 'href="/forgot"' in mailing.client.get("/sign-in", headers=BROWSER).text
    assert "Forgot" in mailing.client.get("/forgot", headers=BROWSER).text
    said = {
        text_of(mailing.client.post("/forgot", data={"username": name}, headers=BROWSER).text)
        for name in ("bob", "nobody")
    }
    assert len(said) == 1
    assert "If there is such an account, a letter is on its way." in said.pop()
    elsewhere = BROWSER | {"Sec-Fetch-Site": "cross-site"}
    assert mailing.client.post("/forgot", data={"username": "bob"}, headers=elsewhere).status_code == 403


def test_a_server_that_sends_no_mail_says_nothing_of_it(node: NodeUnderTest) -> None:
    node.as_("ana")
    bob = Visitor(node.client, "bob")
    assert 'href="/forgot"' not in node.client.get("/sign-in", headers=BROWSER).text
    assert "/account/mail" not in forms_on(bob.shows("/account"))
    assert {"/users/ana/mail", "/users/ana/sign-in"}.isdisjoint(forms_on(bob.shows("/users/ana")))
    assert node.client.post("/forgot", data={"username": "bob"}, headers=BROWSER).status_code == 409
