"""Rules as the database looks them up: they give what all of them say, and those about others stay there."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event
from sqlmodel import Session

from gridward.api.provenance import Behind, grants
from gridward.api.queries import visible_dataset, weighed_dataset
from gridward.api.queries_access import entries, rights_to_dataset
from gridward.api.tables.accounts import User
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.rules import AccessRule, Group, GroupMember
from gridward.core.privacy.access import DISCOVER, Rule, rights
from gridward.core.privacy.decision import Grant
from gridward.core.schemas.accounts import RoleName
from gridward.core.schemas.datasets import Disclosure
from gridward.server.db import Database
from gridward.server.principals import Principal
from tests.support import databases

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
ANA: Final = Principal("ana", RoleName.DATA_SCIENTIST, "usr-ana", "")
STRANGER: Final = Principal("dana@grid", RoleName.GUEST, None, "")
NAMES: Final = ("ana", "eve", "dana@grid", "@signed-in")
GROUPS_AND_ROLES: Final = ("role:data_scientist", "role:guest", "group:ward", "group:x")
RULES: Final = st.builds(
    Rule,
    id=st.just(""),
    verb=st.sampled_from(["discover", "describe", "compute", "raw"]),
    entry=st.sampled_from(NAMES + GROUPS_AND_ROLES),
    until=st.sampled_from([None, NOW - timedelta(seconds=1), NOW, NOW + timedelta(seconds=1)]),
    times=st.sampled_from([None, 2]),
    used=st.integers(0, 2),
    plan=st.sampled_from([None, "a", "b"]),
    min_rows=st.sampled_from([0, 7]),
    min_entities=st.sampled_from([0, 9]),
)


@pytest.fixture
def database(database_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    url = database_url or f"sqlite:///{tmp_path_factory.mktemp('rules') / 'rules.db'}"
    databases.put_sqlite(url, databases.NODE)
    found = Database(url)
    with found.write() as db:
        db.add(User(id="usr-bob", username="bob", role=RoleName.OWNER.value, created_at=NOW))
        db.add_all(Group(name=name, made_by="bob", made_at=NOW) for name in ("ward", "x"))
        db.flush()
        db.add_all(_dataset(id_) for id_ in ("ds-1", "ds-2"))
        db.add_all(GroupMember(group_name="ward", member=name) for name in ("ana", "dana@grid"))
        db.flush()
    yield found
    found.close()


def _dataset(id_: str) -> Dataset:
    return Dataset(
        id=id_,
        name=id_,
        tags=[],
        rows=100,
        tensors=[],
        blob="0" * 64,
        bounds={},
        min_rows=10,
        rows_are_entities=True,
        disclosure=Disclosure().model_dump(),
        describe_apart=True,
        user_id="usr-bob",
        published_by="bob",
        created_at=NOW,
    )


def _row(rule: Rule, dataset_id: str = "ds-1") -> AccessRule:
    group = rule.entry.removeprefix("group:") if rule.entry.startswith("group:") else None
    return AccessRule(
        id=rule.id,
        dataset_id=dataset_id,
        verb=rule.verb,
        entry=rule.entry,
        until=rule.until,
        times=rule.times,
        used=rule.used,
        plan=rule.plan,
        min_rows=rule.min_rows,
        min_entities=rule.min_entities,
        group_name=group,
        made_by="bob",
        made_at=NOW,
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(RULES, max_size=12),
    elsewhere=st.lists(RULES, max_size=2),
    named=st.sets(st.sampled_from("ab")),
)
def test_what_the_database_looks_up_gives_what_all_rules_together_say(
    database: Database, said: list[Rule], elsewhere: list[Rule], named: set[str]
) -> None:
    with database.write() as db:
        nested = db.begin_nested()
        rules = [replace(rule, id=f"rul-{at}") for at, rule in enumerate(said)]
        db.add_all(_row(rule) for rule in rules)
        db.add_all(_row(replace(rule, id=f"two-{at}"), "ds-2") for at, rule in enumerate(elsewhere))
        for caller in (ANA, STRANGER):
            open_to = [rule for rule in rules if caller.admitted or rule.verb == DISCOVER]
            found = rights_to_dataset(caller, db, "ds-1", NOW, frozenset(named))
            assert found == rights(open_to, entries(caller, db), NOW, named)
            assert (visible_dataset(caller, db, "ds-1", NOW) is not None) == (DISCOVER in found.verbs)
        nested.rollback()


def _grants(caller: Principal, db: Session) -> list[Grant]:
    return grants(caller, db, [Behind("ds-1", 1, 100)], NOW)


def test_many_rules_cost_as_many_statements_as_one_and_those_of_others_stay_in_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Rule] = []
    monkeypatch.setattr("gridward.api.queries_access.Rule", lambda *row: read.append(Rule(*row)) or read[-1])
    with database.write() as db:
        db.add_all(_row(Rule(f"rul-{at}", "compute", f"user-{at}")) for at in range(300))
        db.add_all(_row(Rule(f"own-{at}", "raw", "ana", plan=f"p-{at}")) for at in range(300))
    statements: list[str] = []

    def count(_connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    with database.read() as db:
        event.listen(db.connection(), "before_cursor_execute", count)
        (grant,) = _grants(ANA, db)
        assert grant.verbs == {"discover", "describe"}
        (nothing,) = _grants(Principal("eve", RoleName.DATA_SCIENTIST, "usr-eve", ""), db)
        assert (nothing.verbs, nothing.name) == (frozenset(), "a dataset that is not open to you")
    assert [rule.entry for rule in read] == ["ana"]
    assert len(statements) == 3 + 2


def test_a_rule_that_another_process_writes_or_ends_counts_at_once(database: Database) -> None:
    other = Database(database.engine.url.render_as_string(hide_password=False))
    try:
        for wanted in (frozenset({"discover", "describe", "compute"}), frozenset()):
            with other.write() as db:
                if wanted:
                    db.add(_row(Rule("rul-1", "compute", "group:ward")))
                else:
                    db.delete(db.get_one(AccessRule, "rul-1"))
            with database.read() as db:
                assert _grants(ANA, db)[0].verbs == wanted
        with other.write() as db:
            db.add(_row(Rule("rul-2", "compute", "group:ward")))
            db.delete(db.get_one(GroupMember, ("ward", "ana")))
        with database.read() as db:
            assert _grants(ANA, db)[0].verbs == frozenset()
    finally:
        other.close()


def test_what_decides_is_read_as_it_stands_whatever_the_session_remembers(database: Database) -> None:
    with database.read() as db:
        remembered = db.get_one(Dataset, "ds-1")
        db.rollback()
        with database.write() as changing:
            changing.get_one(Dataset, "ds-1").min_rows = 50
        weighed = weighed_dataset(db, "ds-1")
        assert weighed is not None
        assert (weighed.min_rows, weighed.id) == (50, remembered.id)
        assert weighed_dataset(db, "ds-none") is None
