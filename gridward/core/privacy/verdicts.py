"""The checks behind a decision one by one, with their numbers, for those who decide on a request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isinf

from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.decision import COMPUTE, EXPORT_MODEL, RAW, Counted, Grant
from gridward.core.privacy.disclosure import NOTHING, Evidence


class Check(StrEnum):
    """What was looked at."""

    ACCESS = "access"
    AGGREGATE = "aggregate"
    ROWS = "rows"
    ENTITIES = "entities"
    GROUPS = "groups"
    FINITE = "finite"
    CONTRIBUTORS = "contributors"
    DOMINANCE = "dominance"
    P_RATIO = "p_ratio"
    FOLLOWED = "followed"
    DEGREES = "degrees"


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
        *(_access(grant, COMPUTE) for grant in grants),
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
        *(_entities(grant) for grant in grants),
    )


def before_export(grants: Sequence[Grant], parameters: int) -> tuple[Verdict, ...]:
    """Give what is known of a model with so many parameters: the asker's rights, and who is behind it."""
    fits = [not one.thresholds.overfits(parameters, one.entities or 0) for one in grants]
    return (
        *(_access(grant, EXPORT_MODEL) for grant in grants),
        *(_entities(grant) for grant in grants),
        *(
            Verdict(
                Check.DEGREES,
                grant.name,
                passed,
                f"{parameters} parameters, {_known(grant)}",
            )
            for grant, passed in zip(grants, fits, strict=True)
        ),
    )


def after_run(
    grants: Sequence[Grant], counted: Sequence[Counted], evidence: Evidence = NOTHING, *, finite: bool
) -> tuple[Verdict, ...]:
    """Give what only a run tells. The figures count private rows: for those who may read the data."""
    wanted = {grant.table: grant for grant in grants}
    groups = (
        Verdict(
            Check.GROUPS,
            wanted[guard.table].name,
            guard.crowded(wanted[guard.table].min_rows, wanted[guard.table].min_entities),
            f"{', '.join(map(str, guard.counts))} of {guard.rows} rows"
            + (f"; entities on each side: {', '.join(map(str, guard.entities))}" if guard.entities else ""),
        )
        for guard in counted
        if guard.table in wanted
    )
    return (
        *groups,
        *(one for grant in grants for one in _behind_sums(grant, evidence)),
        Verdict(Check.FINITE, "every output", finite, "finite" if finite else "infinite or NaN"),
    )


def _access(grant: Grant, verb: str) -> Verdict:
    figures = f"the asker may: {', '.join(sorted(grant.verbs)) or 'nothing'}"
    return Verdict(Check.ACCESS, grant.name, bool({RAW, verb} & grant.verbs), figures)


def _entities(grant: Grant) -> Verdict:
    passed = grant.entities is not None and grant.entities >= grant.min_entities
    return Verdict(Check.ENTITIES, grant.name, passed, f"{_known(grant)}, {grant.min_entities} wanted")


def _known(grant: Grant) -> str:
    return "nobody said whose the rows are" if grant.entities is None else f"{grant.entities} entities"


def _behind_sums(grant: Grant, evidence: Evidence) -> Iterator[Verdict]:
    limits, name = grant.thresholds, grant.name
    for lost in evidence.unfollowed:
        if lost.table == grant.table:
            yield Verdict(Check.FOLLOWED, name, not limits.weighs, f"{lost.step} is not taken apart")
    for fit in evidence.fits:
        if fit.table == grant.table:
            passed = not limits.overfits(fit.parameters, grant.entities or 0)
            yield Verdict(
                Check.DEGREES, name, passed, f"{fit.parameters} parameters, {grant.entities} entities"
            )
    for number, one in enumerate(found for found in evidence.contributed if found.table == grant.table):
        subject = f"{name}, sum {number}"
        figures = "nobody contributes" if isinf(one.fewest) else f"{one.fewest:.0f} at least"
        yield Verdict(Check.CONTRIBUTORS, subject, not one.few(grant.min_entities), figures)
        if limits.largest_two is not None:
            passed = one.largest_two <= limits.largest_two
            yield Verdict(Check.DOMINANCE, subject, passed, f"largest two: {one.largest_two:.1%} at most")
        if limits.p_ratio is not None:
            passed = one.p_ratio >= limits.p_ratio
            yield Verdict(
                Check.P_RATIO, subject, passed, f"others: {one.p_ratio:.1%} of the largest at least"
            )
