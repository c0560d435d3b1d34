"""One browser for each module; a node that nobody owns for each, and one that is at work for all."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser

import gridward as gw
from gridward.core.schemas.groups import GroupIn
from tests.support.browsers import running_browser
from tests.support.grids import PASSWORD, ServerProcess

WEIGHT = [3.5, 3.7, 3.9, 4.1, 4.1]


@dataclass
class Fresh:
    """A node's process, and the token that makes its owner."""

    server: ServerProcess
    token: str


@dataclass
class Ward:
    """A node at work: bob owns it, olga publishes, carl is compliance officer, ana asks."""

    server: ServerProcess
    dataset: str = "births-2025"
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url

    def user(self, name: str) -> gw.NodeClient:
        return gw.connect(self.url, username=name, password=PASSWORD)

    def ask(self, factor: float, reason: str, who: str = "ana") -> str:
        """Put a question that nobody has put, and return the request's id."""
        with self.user(who) as asker:
            weight = asker.dataset(self.dataset)["weight"]
            return (weight * factor).mean().request(reason).id


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    server = ServerProcess("node", "clinic", tmp_path_factory.mktemp("clinic") / "data")
    token = server.init()
    server.start()
    yield Fresh(server, token)
    server.stop()


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    server = ServerProcess("node", "hospital", tmp_path_factory.mktemp("hospital") / "data")
    token = server.init()
    server.start()
    try:
        ward = Ward(server)
        gw.setup_owner(server.url, token, "bob", PASSWORD)
        with ward.user("bob") as bob:
            bob.users.add("olga", PASSWORD, role="data_officer")
            bob.users.add("carl", PASSWORD, role="compliance_officer")
            bob.users.add("ana", PASSWORD)
            bob.users.add("dana", PASSWORD)
            bob.users.admit("erik@grid")
            bob.roles.make("auditor", ["read_audit"], description="reads the log, and nothing else")
            midwives = GroupIn(name="midwives", description="of the ward", members=["ana", "erik@grid"])
            bob.transport.send("POST", "/v1/groups", body=midwives)
            bob.publish(
                ward.dataset,
                {"weight": WEIGHT},
                access=gw.Access(compute=gw.SIGNED_IN),
                rows_are_entities=True,
            )
        for factor, reason in (
            (1.0, "Mean birth weight for the ward's yearly report"),
            (2.2, "The same in pounds, for the appendix"),
            (1000.0, "In grams, for the poster"),
        ):
            ward.asked.append(ward.ask(factor, reason))
        with ward.user("ana") as ana, ward.user("bob") as bob:
            ana.requests[ward.asked[0]].comment("We publish the table on Friday.")
            bob.requests[ward.asked[2]].approve(note="once, for the poster")
            ana.requests[ward.asked[2]].get()
        yield ward
    finally:
        server.stop()
