"""`gridward audit`: who did and decided what, and whether the log is whole."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from gridward.cli.output import fail, say, table
from gridward.cli.session import Password, Url, Username, calls
from gridward.client.audit import AuditLog, verify_export
from gridward.core.errors import InvalidInputError
from gridward.core.reports import markdown
from gridward.core.schemas.audit import AuditHead

app = typer.Typer(help="The audit log of a node or gateway.", no_args_is_help=True)
Filter = Annotated[str | None, typer.Option()]


@app.command("list")
def list_entries(
    url: Url,
    username: Username,
    password: Password,
    actor: Filter = None,
    action: Filter = None,
    subject: Filter = None,
    decision: Filter = None,
    plan: Filter = None,
    request: Filter = None,
    result: Filter = None,
    limit: Annotated[int, typer.Option(min=1, help="Most entries.")] = 50,
) -> None:
    """Show entries that fit, newest first."""
    with calls(url, username, password) as home:
        found = AuditLog(home).search(
            actor=actor,
            action=action,
            subject=subject,
            decision=decision,
            plan_digest=plan,
            request_id=request,
            result_digest=result,
        )
        rows = [
            (
                str(entry.id),
                f"{entry.at:%Y-%m-%d %H:%M:%S}",
                entry.actor,
                entry.action,
                entry.subject,
                " ".join(filter(None, (entry.decision, entry.reason))),
            )
            for _, entry in zip(range(limit), found, strict=False)
        ]
    table(("entry", "when (UTC)", "who", "act", "on", "outcome"), rows, empty="no entries")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File of JSON lines to write.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Write the whole log to a file, with a signed head at its end."""
    with calls(url, username, password) as home:
        AuditLog(home).export(file)
    say(f"wrote {file}; check it with: gridward audit verify {file}")


@app.command()
def report(
    url: Url,
    username: Username,
    password: Password,
    file: Annotated[Path | None, typer.Option(help="File to write instead of printing.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON instead of Markdown.")] = False,
    since: Annotated[datetime | None, typer.Option(help="From when, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Until when, UTC.")] = None,
) -> None:
    """Write the Five-Safes report of a node: projects, people, settings, data, outputs."""
    begin, end = (None if one is None else one.replace(tzinfo=UTC) for one in (since, until))
    with calls(url, username, password) as home:
        found = AuditLog(home).report(since=begin, until=end)
    text = found.model_dump_json(indent=2) + "\n" if as_json else markdown(found)
    if file is None:
        say(text)
    else:
        file.write_text(text)
        say(f"wrote {file}")
    if found.flaws:
        raise fail("the log is not as it was written")


@app.command()
def head(url: Url, username: Username, password: Password) -> None:
    """Print the server's signed word on its log, to be kept elsewhere: it shows entries that go missing."""
    with calls(url, username, password) as home:
        say(AuditLog(home).head().model_dump_json())


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An exported log.")],
    heads: Annotated[
        list[Path] | None,
        typer.Option(
            "--head", exists=True, dir_okay=False, help="File of heads that were kept, a line each."
        ),
    ] = None,
) -> None:
    """Check an exported log, here, without its server."""
    own, verdict = verify_export(file, [one for path in heads or () for one in _heads(path)])
    say(f"the log of server {own.server}")
    _tell(verdict.count, verdict.flaws)


@app.command()
def check(url: Url, username: Username, password: Password) -> None:
    """Let the server check its own log against the heads that it kept."""
    with calls(url, username, password) as home:
        verdict = AuditLog(home).verify()
    _tell(verdict.count, verdict.flaws)


def _tell(count: int, flaws: Iterable[str]) -> None:
    found = list(flaws)
    for flaw in found:
        say(flaw)
    if found:
        raise fail("the log is not as it was written")
    say(f"{count} entries, each as it was written")


def _heads(path: Path) -> list[AuditHead]:
    try:
        return [AuditHead.model_validate_json(line) for line in path.read_bytes().splitlines()]
    except ValidationError as why:
        raise InvalidInputError(f"{path} holds a line that is not a head of an audit log") from why
