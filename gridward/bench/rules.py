"""Decisions of access over many rules: by the engine alone, and with rules looked up in SQLite."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sqlmodel import Session

from gridward.api.main import MIGRATIONS
from gridward.api.provenance import Behind, grants
from gridward.api.tables.accounts import User
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.rules import AccessRule
from gridward.bench.measure import Options, Result, latency, require
from gridward.core.privacy.access import Rule, rights
from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.decision import Answer, Decision, Grant
from gridward.core.privacy.policy import decide
from gridward.core.schemas.accounts import RoleName
from gridward.core.schemas.datasets import Disclosure
from gridward.server.db import Database
from gridward.server.principals import Principal

RULES: Final = 1000
DECISIONS: Final = 1000
NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
FINDINGS: Final = {"y": Finding(Level.AGGREGATE)}
VERBS: Final = ("discover", "compute", "raw", "train")
CALLER: Final = Principal("ana", RoleName.DATA_SCIENTIST, "usr-ana", "")


def run(options: Options) -> Iterator[Result]:
    """Measure 1,000 decisions a run over 1,000 rules, of which one or every one speaks of the caller."""
    for speaking in (1, RULES):
        rules = _rules(speaking)
        yield _measured("in memory", speaking, options, partial(_decide, rules))
    for speaking in (1, RULES):
        with tempfile.TemporaryDirectory() as folder:
            database = Database(f"sqlite:///{Path(folder) / 'rules.db'}")
            try:
                source = _store(database, _rules(speaking))
                with database.read() as db:
                    action = _stored_decision(db, source)
                    yield _measured("in SQLite", speaking, options, action)
            finally:
                database.close()


def _measured(where: str, speaking: int, options: Options, action: Callable[[], Decision]) -> Result:
    require(action().answer is Answer.VALUE, "the rules give the value, and the decision does not")
    walls: list[float] = []
    processor: list[float] = []
    for _ in range(options.repeat * DECISIONS):
        began, began_cpu = time.perf_counter(), time.thread_time()
        action()
        walls.append(time.perf_counter() - began)
        processor.append(time.thread_time() - began_cpu)
    case = {"rules": RULES, "speaking_of_caller": speaking, "rules_are": where}
    return Result(case, {"decision_s": latency(walls), "processor_s": latency(processor)})


def _rules(speaking: int) -> list[Rule]:
    """Rules of every kind; the last of those that speak of the caller is the one that gives the value."""
    until = NOW + timedelta(days=1)
    rest = [
        Rule(
            f"rul-{at}",
            VERBS[at % len(VERBS)],
            "ana" if at < speaking - 1 else f"user-{at}",
            until if at % 2 else NOW,
            3 if at % 3 else None,
            3 if at % 5 else 0,
            "0" * 64 if at % 7 else None,
        )
        for at in range(RULES - 1)
    ]
    return [*rest, Rule("rul-last", "compute", "ana")]


def _decide(rules: Sequence[Rule]) -> Decision:
    held = rights(rules, CALLER.entries("compute"), NOW)
    grant = Grant("ds-1@1", "births", held.verbs, 100, 10, entities=100, ways=held.ways)
    return decide(FINDINGS, [grant], [], finite=True)


def _stored_decision(db: Session, source: Behind) -> Callable[[], Decision]:
    return lambda: decide(FINDINGS, grants(CALLER, db, [source], NOW), [], finite=True)


def _store(database: Database, rules: Sequence[Rule]) -> Behind:
    database.migrate(MIGRATIONS)
    with database.write() as db:
        db.add(User(id="usr-bob", username="bob", role=RoleName.OWNER.value, created_at=NOW))
        db.flush()
        dataset = Dataset(
            id="ds-1",
            name="births",
            tags=[],
            rows=100,
            tensors=[],
            blob="0" * 64,
            bounds={},
            min_rows=10,
            rows_are_entities=True,
            disclosure=Disclosure().model_dump(),
            user_id="usr-bob",
            published_by="bob",
            created_at=NOW,
        )
        db.add(dataset)
        db.flush()
        db.add_all(_row(dataset.id, rule) for rule in rules)
    return Behind("ds-1", 1, 100)


def _row(dataset_id: str, rule: Rule) -> AccessRule:
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
        made_by="bob",
        made_at=NOW,
    )
