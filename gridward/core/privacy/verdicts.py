"""The checks behind a decision one by one, with their numbers, for those who decide on a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.policy import COMPUTE, RAW, Counted, Grant


class Check(StrEnum):
    """What was looked at."""

    ACCESS = "access"
    AGGREGATE = "aggregate"
    ROWS = "rows"
    GROUPS = "groups"
    FINITE = "finite"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check of one subject (dataset or output): passed or not, and the figures in words."""

    check: Check
    subject: str
    passed: bool
    figures: str


def before_run(findings: Mapping[str, Finding], grants: Sequence[Grant]) -> tuple[Verdict, ...]:
    """Give what is known without running: the asker's rights, what each output is, rows behind it."""
    return (
        *(
            Verdict(
                Check.ACCESS,
                grant.name,
                bool({RAW, COMPUTE} & grant.verbs),
                f"the asker may: {', '.join(sorted(grant.verbs)) or 'nothing'}",
            )
            for grant in grants
        ),
        *(
            Verdict(
                Check.AGGREGATE,
                name,
                found.level in (Level.PUBLIC, Level.AGGREGATE),
                f"{found.level.value}{f': {found.reason}' if found.reason else ''}",
            )
            for name, found in findings.items()
        ),
        *(
            Verdict(
                Check.ROWS,
                grant.name,
                grant.rows >= grant.min_rows,
                f"{grant.rows} rows, {grant.min_rows} wanted",
            )
            for grant in grants
        ),
    )


def after_run(grants: Sequence[Grant], counted: Sequence[Counted], *, finite: bool) -> tuple[Verdict, ...]:
    """Give what only a run tells. The figures count private rows: for those who may read the data."""
    wanted = {grant.table: grant for grant in grants}
    groups = (
        Verdict(
            Check.GROUPS,
            wanted[guard.table].name,
            guard.crowded(wanted[guard.table].min_rows),
            f"{', '.join(map(str, guard.counts))} of {guard.rows} rows",
        )
        for guard in counted
        if guard.table in wanted
    )
    return (*groups, Verdict(Check.FINITE, "every output", finite, "finite" if finite else "infinite or NaN"))
