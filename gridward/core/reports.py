"""The Five-Safes report as a page of Markdown that people read."""

from collections.abc import Iterable, Sequence
from typing import Final

from gridward.core.schemas.datasets import Disclosure
from gridward.core.schemas.reports import FiveSafesOut

_SPECIAL: Final = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>()#+-.!|~"})


def markdown(report: FiveSafesOut) -> str:
    """Write a report as Markdown. Words of others are escaped: none of them becomes a link or a heading."""
    period = f"from {report.since:%Y-%m-%d} " if report.since else ""
    settings = ((one.name, one.value) for one in report.settings)
    sections = (
        [
            f"# Five Safes: node {_text(report.node)}",
            f"Gridward {_text(report.version)}, {period}until {report.until:%Y-%m-%d %H:%M} UTC.",
            _log(report),
        ],
        ["## Safe projects", *_projects(report)],
        ["## Safe people", *_people(report)],
        [
            "## Safe settings",
            _table(("setting", "value"), settings),
        ],
        ["## Safe data", *_data(report)],
        ["## Safe outputs", *_outputs(report)],
    )
    return "\n\n".join(part for section in sections for part in section) + "\n"


def _log(report: FiveSafesOut) -> str:
    head = report.head
    signed = f"Audit log: {head.count} entries, the last one's digest is `{head.digest}`, signed by server"
    state = "Every entry is as it was written." if not report.flaws else "**The log was changed:**"
    flaws = "".join(f"\n- {_text(flaw)}" for flaw in report.flaws)
    return f"{signed} `{head.server}`. {state}{flaws}"


def _projects(report: FiveSafesOut) -> Iterable[str]:
    yield f"{report.projects_total} requests{_shown(len(report.projects), report.projects_total)}."
    rows = (
        (
            one.request_id,
            f"{one.created_at:%Y-%m-%d}",
            one.asked_by,
            one.reason,
            ", ".join(one.datasets),
            f"{one.status.replace('_', ' ')}{f' by {one.decided_by}' if one.decided_by else ''}",
            str(one.used),
        )
        for one in report.projects
    )
    yield _table(("request", "on", "who", "why", "data", "outcome", "used"), rows)


def _people(report: FiveSafesOut) -> Iterable[str]:
    rows = (
        (
            one.username,
            one.role,
            "locked" if one.disabled else "active",
            "yes" if one.second_factor else "no",
            str(one.sign_ins),
            str(one.refused_sign_ins),
        )
        for one in report.people
    )
    yield _table(("account", "role", "state", "second factor", "sign-ins", "refused"), rows)


def _data(report: FiveSafesOut) -> Iterable[str]:
    rows = (
        (
            f"{one.name} ({one.dataset_id}@{one.version})",
            str(one.rows),
            one.entity,
            f"{one.min_rows} rows; {_thresholds(one.disclosure)}",
            "; ".join(f"{verb}: {', '.join(names)}" for verb, names in one.access.items()) or "nobody",
            f"{one.reviewers} people, {one.standing_rules} standing rules",
        )
        for one in report.data
    )
    yield _table(("dataset", "rows", "entity", "thresholds", "who may", "requests"), rows)


def _outputs(report: FiveSafesOut) -> Iterable[str]:
    counts = ((one.action, one.decision, one.reason, str(one.times)) for one in report.decisions)
    yield _table(("act", "answer", "reason", "times"), counts)
    yield f"{report.outputs_total} values left{_shown(len(report.outputs), report.outputs_total)}."
    rows = (
        (
            str(one.entry),
            f"{one.at:%Y-%m-%d %H:%M}",
            one.actor,
            one.action,
            one.subject,
            one.reason,
            one.request_id or "",
            (one.result_digest or "")[:12],
        )
        for one in report.outputs
    )
    yield _table(("entry", "when (UTC)", "who", "act", "of", "reason", "request", "result"), rows)


def _thresholds(told: Disclosure) -> str:
    given = {name: value for name, value in told.model_dump().items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _shown(shown: int, total: int) -> str:
    return "" if shown == total else f", of which the newest {shown} are listed"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(map(_text, row))} |" for row in rows]
    if not lines:
        return "None."
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines])


def _text(words: str) -> str:
    return " ".join(words.split()).translate(_SPECIAL)
