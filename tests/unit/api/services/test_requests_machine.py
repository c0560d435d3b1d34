"""No sequence of grants, approvals, revocations, uses and expiries gives more than a plain restatement.

The restatement keeps what was said as it was said and looks through all of it at every get; the node keeps
states, counts and digests.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlmodel import update

from gridward.api.main import create_app
from gridward.api.tables.datasets import Dataset
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.asking import act, approve, put, shown
from tests.support.files import publish
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.questions import ask, code, column, values

pytestmark = pytest.mark.slow

ROWS = np.arange(12.0)
USERS = st.sampled_from(["ana", "dana"])
QUESTIONS = st.sampled_from(["sum", "rows"])
TERMS = st.sampled_from(["once", "twice", "until", "standing"])
_numbers = itertools.count()


class Clock:
    """A node's clock that tests move."""

    now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Remembered:
    """One request as a person would remember it."""

    id: str
    user: str
    question: str
    version: int
    expires: datetime
    said: str = "nothing"
    times: int | None = None
    until: datetime | None = None
    standing: bool = False
    had: int = 0

    def waits(self, now: datetime) -> bool:
        return self.said == "nothing" and now < self.expires

    def opens(self, version: int, now: datetime) -> bool:
        if self.said != "yes" or self.standing or self.version != version:
            return False
        left = self.times is None or self.had < self.times
        return left and (self.until is None or now < self.until)


@dataclass
class Ledger:
    """All that was said of one dataset."""

    compute: set[str] = field(default_factory=set)
    raw: set[str] = field(default_factory=set)
    hidden_from: set[str] = field(default_factory=set)
    version: int = 1
    requests: list[Remembered] = field(default_factory=list)

    def get(self, user: str, question: str, now: datetime) -> str:
        """What this user's get() of this question ends in; counts a use where one is taken."""
        if user in self.hidden_from and not ({user} & (self.compute | self.raw)):
            return "object_not_found"
        if user in self.raw or (user in self.compute and question == "sum"):
            return "value"
        mine = [one for one in self.requests if (one.user, one.question) == (user, question)]
        if any(one.said == "yes" and one.standing for one in mine):
            return "value"
        for one in mine:
            if one.opens(self.version, now):
                one.had += 1
                return "value"
        if any(one.waits(now) and one.version == self.version for one in mine):
            return "request_pending"
        return "get_not_permitted"


class Requests(RuleBasedStateMachine):
    """Two scientists, one dataset, two questions."""

    node: ClassVar[NodeUnderTest]
    clock: ClassVar[Clock]

    @initialize()
    def publish(self) -> None:
        self.bob = self.node.as_("bob")
        self.ledger = Ledger()
        access = {"discover": ["ana", "dana"]}
        name = f"d-{next(_numbers)}"
        self.dataset = publish(self.node, self.bob, {"x": ROWS}, name=name, access=access)

    def question(self, name: str) -> Any:
        x = column(self.dataset, "x")
        return x.sum() if name == "sum" else x

    def set_rules(self) -> None:
        told = self.ledger
        seen = {"ana", "dana"} - told.hidden_from
        lists = {"discover": sorted(seen), "compute": sorted(told.compute), "raw": sorted(told.raw)}
        path = f"/v1/datasets/{self.dataset['id']}"
        assert self.node.client.patch(path, json={"access": lists}, headers=self.bob).status_code == 200

    @rule(user=USERS, question=QUESTIONS, verb=st.sampled_from(["compute", "raw", "hidden_from"]))
    def turn_a_right_around_for_a_while(self, user: str, question: str, verb: str) -> None:
        holders: set[str] = getattr(self.ledger, verb)
        for _ in range(2):
            holders ^= {user}
            self.set_rules()
            self.get(user, question, 1)

    @rule(user=USERS)
    def turn_compute_around(self, user: str) -> None:
        self.ledger.compute ^= {user}
        self.set_rules()

    @rule(user=USERS, question=QUESTIONS, lifetime_s=st.sampled_from([20, 1000]))
    def ask(self, user: str, question: str, lifetime_s: int) -> None:
        answer = put(self.node, self.node.as_(user), self.question(question), expires_in_s=lifetime_s)
        if answer.status_code == 201:
            expires = self.clock.now + timedelta(seconds=lifetime_s)
            version = self.ledger.version
            made = Remembered(answer.json()["id"], user, question, version, expires)
            self.ledger.requests.append(made)
        else:
            assert code(answer) in ("duplicate_request", "conflict")

    @rule(user=USERS, question=QUESTIONS, terms=TERMS, gets=st.integers(0, 3))
    def ask_approve_and_get(self, user: str, question: str, terms: str, gets: int) -> None:
        self.ask(user, question, 1000)
        mine = [one for one in self.ledger.requests if (one.user, one.question) == (user, question)]
        if mine:
            self.say_yes(mine[-1], terms)
        self.get(user, question, gets)

    @precondition(lambda self: self.ledger.requests)
    @rule(data=st.data(), terms=TERMS)
    def approve(self, data: st.DataObject, terms: str) -> None:
        self.say_yes(data.draw(st.sampled_from(self.ledger.requests)), terms)

    def say_yes(self, chosen: Remembered, terms: str) -> None:
        until = self.clock.now + timedelta(seconds=30)
        wanted: dict[str, dict[str, Any]] = {
            "once": {},
            "twice": {"times": 2},
            "until": {"until": until.isoformat()},
            "standing": {"standing": True},
        }
        request = shown(self.node, self.bob, {"id": chosen.id})
        answer = approve(self.node, self.bob, request, **wanted[terms])
        fits = chosen.waits(self.clock.now) and chosen.version == self.ledger.version
        assert (answer.status_code == 200) == fits, answer.text
        if fits:
            chosen.said = "yes"
            chosen.times = {"once": 1, "twice": 2}.get(terms)
            chosen.until = until if terms == "until" else None
            chosen.standing = terms == "standing"

    @precondition(lambda self: self.ledger.requests)
    @rule(data=st.data(), what=st.sampled_from(["deny", "revoke", "get", "get"]), gets=st.integers(1, 3))
    def return_to_a_request(self, data: st.DataObject, what: str, gets: int) -> None:
        chosen = data.draw(st.sampled_from(self.ledger.requests))
        if what != "get":
            answer = act(self.node, self.bob, {"id": chosen.id}, what, text="no")
            fits = chosen.said == "yes" if what == "revoke" else chosen.waits(self.clock.now)
            assert (answer.status_code == 200) == fits, answer.text
            chosen.said = "no" if fits else chosen.said
        self.get(chosen.user, chosen.question, gets)

    @rule(seconds=st.sampled_from([1, 15, 40]))
    def wait(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)

    @rule()
    def publish_a_version(self) -> None:
        self.ledger.version += 1
        with self.node.node.database.write() as db:
            new = {"version": self.ledger.version}
            db.exec(update(Dataset).where(Dataset.id == self.dataset["id"]).values(**new))  # type: ignore[arg-type]

    @rule(user=USERS, question=QUESTIONS, times=st.integers(1, 2))
    def get(self, user: str, question: str, times: int) -> None:
        for _ in range(times):
            expected = self.ledger.get(user, question, self.clock.now)
            answer = ask(self.node, self.node.as_(user), self.question(question))
            if expected == "value":
                wanted = ROWS.sum() if question == "sum" else ROWS
                assert np.array_equal(values(answer)[0].numpy(), wanted)
            else:
                assert code(answer) == expected

    @invariant()
    def no_one_had_more_than_was_said(self) -> None:
        assert all(one.times is None or one.had <= one.times for one in self.ledger.requests)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Requests]]:
    clock = Clock()
    quick = {"password_memory_kib": 1024, "password_passes": 1, "plan_workers": 1}
    options = NodeSettings(
        data_dir=tmp_path_factory.mktemp("machine") / "node",
        access_token_s=86_400,
        requests_open=10**6,
        **quick,  # type: ignore[arg-type]
    )
    token = make(options.data_dir)
    with TestClient(create_app(options, clock)) as client:
        Requests.node = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        Requests.clock = clock
        body = {"token": token, "username": "bob", "password": PASSWORD}
        assert client.post("/v1/setup", json=body).status_code == 201
        yield Requests


def test_no_sequence_of_acts_gives_more_than_was_said(machine: type[Requests]) -> None:
    case = machine.TestCase
    case.settings = settings(
        max_examples=15,
        stateful_step_count=25,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()
