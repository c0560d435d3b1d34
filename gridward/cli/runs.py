"""`gridward runs`: federated trainings at a gateway."""

from typing import Annotated

import typer

from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, calls
from gridward.client import runs
from gridward.core.schemas.runs import RoundRecord, RunOut

app = typer.Typer(help="Federated trainings, as a gateway knows them.", no_args_is_help=True)
Run = Annotated[str, typer.Argument(help="The run's id.")]


@app.command("list")
def list_runs(url: Url, username: Username, password: Password) -> None:
    """List your runs, the newest first; the gateway's owner sees everybody's."""
    with calls(url, username, password) as gateway:
        rows = [_row(one.facts) for one in runs.listed(gateway)]
    table(("run", "by", "model", "strategy", "rounds", "loss", "state"), rows, empty="no runs")


@app.command()
def show(run: Run, url: Url, username: Username, password: Password) -> None:
    """Say where a run stands, and what its nodes did in each round."""
    with calls(url, username, password) as gateway:
        found = runs.found(gateway, run)
        rows = [row for record in found.history() for row in _rounds(record)]
    said = found.facts
    say(f"{said.id}: {said.state.value}, {said.rounds_done} of {said.rounds} rounds {said.detail}".rstrip())
    heads = ("round", "node", "rows", "seconds", "sent", "received", "metrics", "validation")
    table(heads, rows, empty="no rounds yet")


@app.command()
def watch(run: Run, url: Url, username: Username, password: Password) -> None:
    """Follow a run until it has ended."""
    with calls(url, username, password) as gateway:
        ended = runs.found(gateway, run).watch()
    say(f"{ended.id}: {ended.state.value} {ended.detail}".rstrip())


@app.command()
def pause(run: Run, url: Url, username: Username, password: Password) -> None:
    """Let a run wait before its next round."""
    with calls(url, username, password) as gateway:
        _say(runs.found(gateway, run).pause())


@app.command()
def resume(run: Run, url: Url, username: Username, password: Password) -> None:
    """Let a paused run go on."""
    with calls(url, username, password) as gateway:
        _say(runs.found(gateway, run).resume())


@app.command()
def cancel(run: Run, url: Url, username: Username, password: Password) -> None:
    """End a run before its next round, for good."""
    with calls(url, username, password) as gateway:
        _say(runs.found(gateway, run).cancel())


def _say(said: RunOut) -> None:
    say(f"{said.id} is {said.state.value}")


def _row(said: RunOut) -> tuple[str, ...]:
    loss = "" if said.loss is None else f"{said.loss:.4g}"
    rounds = f"{said.rounds_done}/{said.rounds}"
    return said.id, said.started_by, said.model, said.strategy, rounds, loss, said.state.value


def _rounds(record: RoundRecord) -> list[tuple[str, ...]]:
    done = [
        (
            str(record.number),
            node.node,
            str(node.rows),
            f"{node.seconds:.3g}",
            str(node.sent_bytes),
            str(node.received_bytes),
            _values(node.metrics),
            _values(node.validation),
        )
        for node in record.nodes
    ]
    lost = [(str(record.number), name, "", "", "", "", why, "") for name, why in record.failures.items()]
    return [*done, *lost]


def _values(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
