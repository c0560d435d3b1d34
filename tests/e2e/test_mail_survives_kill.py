"""A letter of an act that a node confirmed leaves, though the node is killed before it could."""

from pathlib import Path

import pandas as pd
import pytest

import gridward as gw
from tests.support.grids import PASSWORD, ServerProcess, eventually
from tests.support.letters import one_time
from tests.support.post import PostOffice

pytestmark = pytest.mark.e2e


def test_a_letter_outlives_a_killed_node_and_a_mail_server_that_was_down(tmp_path: Path) -> None:
    post = PostOffice(tmp_path)
    with post.open():
        pass  # its port and certificate are there, and nobody answers
    said = {f"GRIDWARD_{name.upper()}": str(value) for name, value in post.settings().items()}
    server = ServerProcess("node", "posted", tmp_path / "data", {**said, "GRIDWARD_MAIL_RETRY_S": "0.2"})
    token = server.init()
    server.start()
    try:
        gw.setup_owner(server.url, token, "bob", PASSWORD)
        with gw.connect(server.url, "bob", PASSWORD) as bob:
            with post.open():
                assert bob.account.set_mail("bob@example.org", PASSWORD).email == "bob@example.org"
                (letter,) = eventually(lambda: post.letters or None, "the letter with the code")
            assert bob.account.confirm_mail(one_time(str(letter.get_content()))).email_confirmed
            post.letters.clear()
            bob.users.add("ana", PASSWORD)
            frame = pd.DataFrame({"weight": [3.5, 3.75, 4.0]})
            access = gw.Access(discover=["ana"], compute=["ana"])
            bob.publish("births", frame, access=access, rows_are_entities=True)
        with gw.connect(server.url, "ana", PASSWORD) as ana:
            ana.dataset("births")["weight"].mean().request("ward report")
        server.kill()
        server.start()
        refused = "mail does not leave: ConnectionRefusedError"
        eventually(lambda: refused in server.log.read_text() or None, "a try without a mail server")
        with post.open():
            eventually(lambda: post.letters or None, "the letter")
        assert [str(letter["To"]) for letter in post.letters] == ["bob@example.org"]
        assert "asks for a decision" in str(post.letters[0]["Subject"])
        assert "bob@example.org" not in server.log.read_text()
    finally:
        server.stop()
