"""`gridward request`: what people ask of a node's data, and the answers of those who may open it."""

from datetime import UTC, datetime
from typing import Annotated

import typer

import gridward as gw
from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, node

app = typer.Typer(help="Requests for what the rules of datasets do not give.", no_args_is_help=True)
Request = Annotated[str, typer.Argument(help="The request's id.")]


@app.command("list")
def list_requests(
    url: Url,
    username: Username,
    password: Password,
    status: Annotated[
        str | None, typer.Option(help="pending, approved, denied, expired, revoked, used_up.")
    ] = None,
) -> None:
    """List your requests, and those that you may decide on."""
    with node(url, username, password) as home:
        rows = [
            (
                one.id,
                one.status,
                one.asked_by,
                ", ".join(source.name for source in one.sources),
                one.kind.value,
                _line(one.reason),
            )
            for one in home.requests.list(status)
        ]
    table(("request", "status", "asked by", "of", "kind", "why"), rows, empty="no requests")


@app.command()
def show(request: Request, url: Url, username: Username, password: Password) -> None:
    """Show a request whole: what is computed, the checks, what the asker had before, what was said."""
    with node(url, username, password) as home:
        found = home.requests[request]
    said = found.described
    for source in said.sources:
        say(f"of {source.name} version {source.version} ({source.rows} rows): {', '.join(source.tensors)}")
    say(f"{said.id} is {said.status}; asked by {said.asked_by}: {_line(said.reason)}")
    say(f"what leaves: {said.kind.value}; digest {said.digest}")
    for line in found.operations:
        say(f"    {line}")
    for verdict in said.verdicts or ():
        passed = "passed" if verdict.passed else "failed"
        say(f"{verdict.check} {passed}: {verdict.subject}: {verdict.figures}")
    if said.overlap is not None:
        say(f"the asker had {said.overlap.total} answers on these datasets before")
    for event in found.events:
        say(f"{event.at:%Y-%m-%d %H:%M} {event.actor} {event.kind.value} {_line(event.text)}")


@app.command()
def approve(
    request: Request,
    url: Url,
    username: Username,
    password: Password,
    times: Annotated[int | None, typer.Option(min=1, help="How often the answer may be had.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Until when, UTC.")] = None,
    standing: Annotated[bool, typer.Option("--standing", help="As a rule of the datasets.")] = False,
    note: Annotated[str, typer.Option(help="What to say with it.")] = "",
) -> None:
    """Agree: once, unless you say how often or until when."""
    end = None if until is None else until.replace(tzinfo=UTC)
    with node(url, username, password) as home:
        decided = home.requests[request].approve(times=times, until=end, standing=standing, note=note)
    _say_status(decided)


@app.command()
def deny(
    request: Request,
    reason: Annotated[str, typer.Argument(help="Why; the asker reads it.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Refuse, with a reason."""
    with node(url, username, password) as home:
        _say_status(home.requests[request].deny(reason))


@app.command()
def revoke(
    request: Request,
    reason: Annotated[str, typer.Argument(help="Why; the asker reads it.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Take an approval back."""
    with node(url, username, password) as home:
        _say_status(home.requests[request].revoke(reason))


@app.command()
def withdraw(
    request: Request,
    reason: Annotated[str, typer.Argument(help="Why; those who decide read it.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Take your own request back while it waits."""
    with node(url, username, password) as home:
        _say_status(home.requests[request].withdraw(reason))


@app.command()
def comment(
    request: Request,
    text: Annotated[str, typer.Argument(help="What to say.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Say something to a request."""
    with node(url, username, password) as home:
        home.requests[request].comment(text)
    say(f"said to {request}")


def _line(text: str) -> str:
    """Keep what others wrote on its own line: it must not look like something the node said."""
    return " ".join(text.split())


def _say_status(decided: "gw.Request") -> None:
    said = decided.described
    waits = said.status == "pending" and said.agreed
    more = f"; {len(said.agreed)} of {said.reviewers} agreed" if waits else ""
    say(f"{decided.id} is {decided.status}{more}")
