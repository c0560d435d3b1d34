"""`gridward dataset rules|allow|end-rule|preview`: who may do what with a dataset, rule by rule."""

from datetime import UTC, datetime
from typing import Annotated

import typer

import gridward as gw
from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, node
from gridward.core.schemas.access import RuleOut

Dataset = Annotated[str, typer.Argument(help="The dataset's name.")]


def rules(name: Dataset, url: Url, username: Username, password: Password) -> None:
    """List a dataset's rules, with their conditions and how often each was used."""
    with node(url, username, password) as home:
        rows = [(one.verb, one.who, _conditions(one), str(one.used), one.id) for one in home.rules(name)]
    table(("verb", "who", "conditions", "used", "rule"), rows, empty="no rules")


def allow(
    name: Dataset,
    verb: Annotated[
        str, typer.Argument(help="discover, describe, compute, raw, train, export_model or approve.")
    ],
    who: Annotated[str, typer.Argument(help="ana, dana@grid, role:guest, group:ward or @signed-in.")],
    url: Url,
    username: Username,
    password: Password,
    until: Annotated[datetime | None, typer.Option(help="Before this moment only, UTC.")] = None,
    times: Annotated[int | None, typer.Option(min=1, help="So many answers in all.")] = None,
    plan: Annotated[str | None, typer.Option(help="Only the question of this digest.")] = None,
    min_rows: Annotated[int | None, typer.Option(min=1, help="Over at least so many rows.")] = None,
    min_entities: Annotated[int | None, typer.Option(min=1, help="With so many entities behind it.")] = None,
) -> None:
    """Add one rule to a dataset; the others stay."""
    ends = None if until is None else until.replace(tzinfo=UTC)
    with node(url, username, password) as home:
        made = home.allow(name, verb, gw.Rule(who, ends, times, plan, min_rows, min_entities))
    say(f"{made.who} may {made.verb}{_conditions(made) and f' ({_conditions(made)})'}; rule {made.id}")


def end_rule(
    name: Dataset,
    rule: Annotated[str, typer.Argument(help="The rule's id, as `rules` shows it.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """End one rule of a dataset at once."""
    with node(url, username, password) as home:
        home.end_rule(name, rule)
    say(f"{rule} has ended")


def preview(
    name: Dataset,
    who: Annotated[str, typer.Argument(help="ana, dana@grid, role:guest, group:ward or @signed-in.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Show what somebody would get of a dataset, and by which rules."""
    with node(url, username, password) as home:
        found = home.dataset(name).preview(who)
    if found.locked_out:
        say(f"{who} is locked out")
    rows = [(one.verb, rule.who, _conditions(rule), rule.id) for one in found.verbs for rule in one.rules] + [
        (one.verb, "anyway", "", "") for one in found.verbs if not one.rules
    ]
    table(("may", "as", "conditions", "rule"), rows, empty=f"{who} gets nothing of {name}")


def _conditions(rule: RuleOut) -> str:
    words = {
        "until": rule.until and f"until {rule.until:%Y-%m-%d %H:%M} UTC",
        "times": rule.times and f"{rule.times} times",
        "plan": rule.plan and f"only {rule.plan[:12]}",
        "min_rows": rule.min_rows and f"{rule.min_rows} rows",
        "min_entities": rule.min_entities and f"{rule.min_entities} entities",
    }
    return ", ".join(word for word in words.values() if word)
