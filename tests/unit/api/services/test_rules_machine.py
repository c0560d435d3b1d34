"""No sequence of rules, groups, roles, expiries, uses and versions lets out more, or less, than was said.

The restatement remembers each rule as somebody said it and looks through all of them at every get; the node
keeps rows, counts and digests. What the preview foretells is compared too.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlmodel import update

from gridward.api.main import create_app
from gridward.api.tables.datasets import Dataset
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.files import publish
from tests.support.gateways import MovingClock
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.questions import ask, code, column, question, values

pytestmark = pytest.mark.slow

ROWS = np.arange(40.0)
ANSWERS = {"sum": ROWS.sum(), "half": ROWS[:20].sum(), "rows": ROWS}
BEHIND = {"sum": 40, "half": 20}
PEOPLE = {"sum": 20, "half": 10}
USERS = st.sampled_from(["ana", "eve"])
QUESTIONS = st.sampled_from(sorted(ANSWERS))
WHO = st.sampled_from(["ana", "eve", "group:ward", "role:fellow", "role:data_scientist", "@signed-in"])
VERBS = st.sampled_from(["discover", "describe", "compute", "raw"])
CONDITIONS = st.sampled_from(
    ["none", "none", "until", "once", "twice", "question", "version", "wide", "many", "over"]
)
_numbers = itertools.count()


@dataclass
class Said:
    """One rule as somebody would remember it."""

    id: str
    verb: str
    who: str
    until: datetime | None = None
    times: int | None = None
    question: str | None = None
    version: int | None = None
    min_rows: int = 0
    min_entities: int = 0
    had: int = 0

    def gives(self, asked: str, version: int) -> bool:
        if self.question not in (None, asked) or self.version not in (None, version):
            return False
        if self.times is not None and self.had >= self.times:
            return False
        return self.verb == "raw" or (
            self.verb == "compute"
            and asked != "rows"
            and BEHIND[asked] >= self.min_rows
            and PEOPLE[asked] >= self.min_entities
        )


@dataclass
class World:
    """All that was said."""

    rules: list[Said] = field(default_factory=list)
    ward: set[str] | None = None
    fellow: bool = False
    roles: dict[str, str] = field(default_factory=lambda: dict.fromkeys(("ana", "eve"), "data_scientist"))
    version: int = 1
    apart: bool = False

    def shown(self, about: list[Said]) -> bool:
        return any(one.verb != "discover" for one in about) or (bool(about) and not self.apart)

    def about(self, user: str, now: datetime) -> list[Said]:
        names = {user, "@signed-in", f"role:{self.roles[user]}"}
        names |= {"group:ward"} if self.ward is not None and user in self.ward else set()
        return [one for one in self.rules if one.who in names and (one.until is None or now < one.until)]


class Rules(RuleBasedStateMachine):
    """Two users, a group, a role, one dataset, three questions."""

    node: ClassVar[NodeUnderTest]
    clock: ClassVar[MovingClock]

    @initialize()
    def begin(self) -> None:
        self.world = World()
        for name in ("groups/ward", "roles/fellow"):
            for user in ("ana", "eve"):
                self.call("PATCH", f"users/{user}", role="data_scientist")
            self.call("DELETE", name)
        told = {"name": f"d-{next(_numbers)}", "entity": "person", "disclosure": {"entities": 5}}
        columns = {"x": ROWS, "person": np.repeat(np.arange(20), 2)}
        self.dataset = publish(self.node, self.node.as_("bob"), columns, **told)

    def call(self, method: str, path: str, **body: Any) -> Any:
        headers = self.node.as_("bob")
        return self.node.client.request(method, f"/v1/{path}", json=body or None, headers=headers)

    @property
    def path(self) -> str:
        return f"datasets/{self.dataset['id']}"

    def asked(self, name: str) -> Any:
        x = column(self.dataset, "x")
        return {"sum": x.sum(), "half": x.where(x < 20, 0).sum(), "rows": x * 1}[name]

    def look(self, user: str, name: str) -> dict[str, Any]:
        body = question(self.asked(name))
        del body["release"]
        answer = self.call("POST", f"{self.path}/preview", who=user, question=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @rule(
        verb=st.sampled_from(["discover", "describe", "compute", "raw"]),
        who=WHO,
        kind=CONDITIONS,
        asked=QUESTIONS,
    )
    def say_a_rule(self, verb: str, who: str, kind: str, asked: str) -> None:
        said = Said("", verb, who)
        pinned = None
        if kind in ("until", "over"):
            said.until = self.clock.now + timedelta(seconds=30 if kind == "until" else -1)
        elif kind in ("once", "twice") and verb in ("compute", "raw"):
            said.times = 1 if kind == "once" else 2
        elif kind == "wide" and verb == "compute":
            said.min_rows = 30
        elif kind == "many" and verb == "compute":
            said.min_entities = 15
        elif kind in ("question", "version") and verb in ("compute", "raw"):
            decision = self.look("bob", asked)["decision"]
            pinned = decision["standing" if kind == "question" else "question"]
            said.question, said.version = asked, None if kind == "question" else self.world.version
        body: dict[str, Any] = {"verb": verb, "who": who, "plan": pinned, "times": said.times}
        body["until"] = None if said.until is None else said.until.isoformat()
        body |= {"min_rows": said.min_rows or None, "min_entities": said.min_entities or None}
        answer = self.call("POST", f"{self.path}/rules", **body)
        world = self.world
        known = {"group:ward": world.ward is not None, "role:fellow": world.fellow}.get(who, True)
        if not known:
            assert code(answer) == "invalid_input"
        elif any(self.same(one, said) for one in world.rules):
            assert code(answer) == "conflict"
        else:
            assert answer.status_code == 201, answer.text
            said.id = answer.json()["id"]
            world.apart = world.apart or verb == "describe"
            world.rules.append(said)

    @staticmethod
    def same(one: Said, other: Said) -> bool:
        facts = ("verb", "who", "until", "times", "question", "version", "min_rows", "min_entities")
        return all(getattr(one, name) == getattr(other, name) for name in facts)

    @rule(data=st.data(), verb=st.sampled_from(["compute", "raw"]), who=WHO, kind=CONDITIONS, user=USERS)
    def say_a_rule_and_get(self, data: st.DataObject, verb: str, who: str, kind: str, user: str) -> None:
        asked = data.draw(QUESTIONS)
        self.say_a_rule(verb, who, kind, asked)
        for _ in range(data.draw(st.integers(1, 3))):
            self.get(user, asked)

    @precondition(lambda self: self.world.rules)
    @rule(data=st.data(), user=USERS, asked=QUESTIONS)
    def end_a_rule(self, data: st.DataObject, user: str, asked: str) -> None:
        chosen = data.draw(st.sampled_from(self.world.rules))
        assert self.call("DELETE", f"{self.path}/rules/{chosen.id}").status_code == 204
        self.world.rules.remove(chosen)
        self.get(user, asked)

    @rule()
    def write_the_same_lists_again(self) -> None:
        lists = self.call("GET", self.path).json()["access"]
        assert self.call("PATCH", self.path, access=lists).status_code == 200

    @rule(user=USERS, asked=QUESTIONS)
    def turn_membership_around(self, user: str, asked: str) -> None:
        world = self.world
        if world.ward is None:
            assert self.call("POST", "groups", name="ward", members=[user]).status_code == 201
            world.ward = {user}
        else:
            what = "remove" if user in world.ward else "add"
            assert self.call("PATCH", "groups/ward", **{what: [user]}).status_code == 200
            world.ward ^= {user}
        self.get(user, asked)

    @precondition(lambda self: self.world.ward is not None)
    @rule(user=USERS, asked=QUESTIONS, again=st.booleans())
    def delete_the_group(self, user: str, asked: str, again: bool) -> None:
        world = self.world
        assert self.call("DELETE", "groups/ward").status_code == 204
        world.rules = [one for one in world.rules if one.who != "group:ward"]
        world.ward = None
        if again:
            self.turn_membership_around(user, asked)
        self.get(user, asked)

    @rule(user=USERS, asked=QUESTIONS)
    def turn_the_role_around(self, user: str, asked: str) -> None:
        world = self.world
        if not world.fellow:
            made = self.call("POST", "roles", name="fellow", capabilities=["compute"])
            assert made.status_code == 201
            world.fellow = True
        world.roles[user] = "fellow" if world.roles[user] == "data_scientist" else "data_scientist"
        assert self.call("PATCH", f"users/{user}", role=world.roles[user]).status_code == 200
        self.get(user, asked)

    @precondition(lambda self: self.world.fellow)
    @rule()
    def delete_the_role(self) -> None:
        world = self.world
        held = "fellow" in world.roles.values()
        assert self.call("DELETE", "roles/fellow").status_code == (409 if held else 204)
        if not held:
            world.fellow = False
            world.rules = [one for one in world.rules if one.who != "role:fellow"]

    @rule(user=USERS, asked=QUESTIONS, apart=st.booleans())
    def show_it_to_those_who_find_it_or_not(self, user: str, asked: str, apart: bool) -> None:
        self.world.apart = apart
        assert self.call("PATCH", self.path, describe_apart=apart).status_code == 200
        self.get(user, asked)

    @rule(seconds=st.sampled_from([1, 15, 40]))
    def wait(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @rule()
    def publish_a_version(self) -> None:
        self.world.version += 1
        with self.node.node.database.write() as db:
            new = {"version": self.world.version}
            db.exec(update(Dataset).where(Dataset.id == self.dataset["id"]).values(**new))  # type: ignore[arg-type]

    @rule(user=USERS, asked=QUESTIONS)
    def get(self, user: str, asked: str) -> None:
        about = self.world.about(user, self.clock.now)
        giving = [one for one in about if one.gives(asked, self.world.version)]
        foretold = self.look(user, asked)
        assert (foretold["sees"] is not None) == bool(about)
        shown = self.world.shown(about)
        assert not about or (foretold["sees"]["tensors"] != []) == shown
        answer = ask(self.node, self.node.as_(user), self.asked(asked))
        if giving:
            assert np.array_equal(values(answer)[0].numpy(), ANSWERS[asked])
            assert foretold["decision"]["answer"] == "value"
        else:
            permitted = ("get_not_permitted", "result_suppressed") if shown else ("not_authorized",)
            refusals = permitted if about else ("object_not_found",)
            assert code(answer) in refusals
            assert foretold["decision"]["answer"] != "value" or foretold["decision"]["data_decides"]
        self.count(giving)

    def count(self, giving: list[Said]) -> None:
        """One use of one rule that gave it, or none where a rule gave it at no cost."""
        used = {one["id"]: one["used"] for one in self.call("GET", f"{self.path}/rules").json()["items"]}
        assert used.keys() == {one.id for one in self.world.rules}
        more = [one for one in self.world.rules if used[one.id] != one.had]
        costs = bool(giving) and all(one.times is not None for one in giving)
        assert len(more) == costs
        for one in more:
            assert one in giving
            one.had += 1
            assert used[one.id] == one.had


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Rules]]:
    clock = MovingClock()
    options = NodeSettings(
        data_dir=tmp_path_factory.mktemp("rules-machine") / "node",
        access_token_s=86_400,
        password_memory_kib=1024,
        password_passes=1,
        plan_workers=1,
    )
    token = make(options.data_dir)
    with TestClient(create_app(options, clock)) as client:
        Rules.node = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        Rules.clock = clock
        body = {"token": token, "username": "bob", "password": PASSWORD}
        assert client.post("/v1/setup", json=body).status_code == 201
        Rules.node.as_("ana"), Rules.node.as_("eve")
        yield Rules


def test_no_sequence_of_acts_gives_more_or_less_than_was_said(machine: type[Rules]) -> None:
    case = machine.TestCase
    case.settings = settings(
        max_examples=12,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()
