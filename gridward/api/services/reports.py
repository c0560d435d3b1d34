"""The Five-Safes report: what this node is, who uses it for what, under which rules, and what left it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlmodel import Session

from gridward.api import access, queries, queries_reports, queries_requests
from gridward.api.node import Node
from gridward.api.queries_reports import Period
from gridward.api.services import node as about
from gridward.api.tables.accounts import AuditEntry
from gridward.core.schemas.datasets import Disclosure
from gridward.core.schemas.reports import (
    DataLine,
    FiveSafesOut,
    OutputCount,
    OutputLine,
    PersonLine,
    ProjectLine,
    SettingLine,
)
from gridward.server import audit, audit_heads, audit_log
from gridward.server.principals import Capability, Principal

MOST: Final = 1000
"""Requests and outputs that a report lists one by one; all are counted."""


def five_safes(
    node: Node, caller: Principal, since: datetime | None = None, until: datetime | None = None
) -> FiveSafesOut:
    """Report on a period, or on everything; for those who may read the log. Making it is an entry of the log.

    Who learns what: names of accounts, datasets and requests, rules and counts; no value from data.
    Cost: the whole log is read and checked.
    """
    caller.require(Capability.READ_AUDIT)
    now = node.clock()
    verdict = audit_log.verify(node.accounts)
    head = audit_heads.head(node.accounts)
    period = Period(since, until or now, head.count)
    with node.database.write() as db:
        audit.record(db, AuditEntry, caller, now, "report_audit", "")
        outputs, outputs_total = queries_reports.outputs(db, period, MOST)
        projects, projects_total = _projects(db, period, now)
        said = about.describe(node)
        return FiveSafesOut(
            node=said.name,
            version=said.version,
            since=since,
            until=period.until,
            head=head,
            flaws=verdict.flaws,
            projects=projects,
            projects_total=projects_total,
            people=list(_people(db, period)),
            settings=list(_settings(node, db)),
            data=list(_data(db)),
            decisions=[
                OutputCount(action=action, decision=decision, reason=reason, times=times)
                for action, decision, reason, times in queries_reports.decisions(db, period)
            ],
            outputs=[_output(row) for row in outputs],
            outputs_total=outputs_total,
        )


def _projects(db: Session, period: Period, now: datetime) -> tuple[list[ProjectLine], int]:
    ids, total = queries_reports.requests(db, period, MOST)
    names: dict[str, list[str]] = {}
    for source in queries_requests.sources(db, ids):
        names.setdefault(source.request_id, []).append(source.name)
    lines = [
        ProjectLine(
            request_id=row.id,
            asked_by=row.asked_by,
            reason=row.reason,
            datasets=names.get(row.id, []),
            status=queries_requests.facts(row).status(now).value,
            decided_by=row.decided_by,
            used=row.used,
            created_at=row.created_at,
        )
        for row in queries_requests.outlined(db, ids)
    ]
    return lines, total


def _people(db: Session, period: Period) -> Iterator[PersonLine]:
    tried = queries_reports.sign_ins(db, period)
    for user in queries_reports.accounts(db):
        yield PersonLine(
            username=user.username,
            role=user.role,
            disabled=user.disabled,
            second_factor=user.totp_active,
            sign_ins=tried.get((user.username, False), 0),
            refused_sign_ins=tried.get((user.username, True), 0),
        )


def _settings(node: Node, db: Session) -> Iterator[SettingLine]:
    settings = node.settings
    needed = ", ".join(sorted(role.value for role in settings.second_factor_roles)) or "nobody"
    gateways = ", ".join(f"{one.gateway_name} ({one.state})" for one in queries.memberships(db)) or "none"
    facts = {
        "second factor needed for": needed,
        "gateways": gateways,
        "database": "SQLite" if settings.database_url is None else "a database server",
        "plans run in worker processes": str(settings.plan_workers),
        "seconds for a plan": f"{settings.plan_time_s:g}",
        "bytes of memory for a plan": str(settings.plan_memory_bytes),
        "seconds until a request expires": f"{settings.request_expiry_s:g}",
        "seconds of an access token": f"{settings.access_token_s:g}",
        "holds shares of others' models": "yes" if settings.offer_party else "no",
        "deals correlations for others": "yes" if settings.offer_provider else "no",
    }
    for name, value in facts.items():
        yield SettingLine(name=name, value=value)


def _data(db: Session) -> Iterator[DataLine]:
    datasets = queries.all_datasets(db)
    given: dict[str, dict[str, list[str]]] = {}
    for row in queries_reports.dataset_rules(db):
        given.setdefault(row.dataset_id or "", {}).setdefault(row.verb, []).append(access.told(row))
    rules = queries_reports.standing_rules(db)
    for one in datasets:
        yield DataLine(
            dataset_id=one.id,
            name=one.name,
            version=one.version,
            rows=one.rows,
            published_by=one.published_by,
            entity=one.entity or ("every row" if one.rows_are_entities else "not said"),
            min_rows=one.min_rows,
            reviewers=one.reviewers,
            disclosure=Disclosure.model_validate(one.disclosure),
            access={verb: sorted(entries) for verb, entries in sorted(given.get(one.id, {}).items())},
            standing_rules=rules.get(one.id, 0),
        )


def _output(row: AuditEntry) -> OutputLine:
    return OutputLine(
        entry=row.id or 0,
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        reason=row.reason,
        request_id=row.request_id,
        plan_digest=row.plan_digest,
        result_digest=row.result_digest,
    )
