"""`gridward dataset`: what a node's owner publishes."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from dataclasses import replace as changed
from pathlib import Path
from typing import Annotated, Any

import typer

import gridward as gw
from gridward.cli import rules
from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, node
from gridward.core.errors import InvalidInputError

app = typer.Typer(help="Datasets of a node.", no_args_is_help=True)
app.command()(rules.rules)
app.command()(rules.allow)
app.command("end-rule")(rules.end_rule)
app.command()(rules.preview)
Dataset = Annotated[str, typer.Argument(help="The dataset's name.")]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=NUMBER or NAME=none, such as largest_two=0.8 or parameter_share=none; repeat it. Names: "
        + ", ".join(one.name for one in fields(gw.Disclosure))
    ),
]


@app.command("list")
def list_datasets(url: Url, username: Username, password: Password) -> None:
    """List the datasets that you may discover."""
    with node(url, username, password) as home:
        rows = [(one.name, one.content, " ".join(one.tags), one.description) for one in home.search()]
    table(("dataset", "content", "tags", "description"), rows, empty="no datasets")


@app.command()
def publish(
    name: Dataset,
    path: Annotated[Path, typer.Argument(help="Parquet, CSV, .npy, .npz or .safetensors file.")],
    url: Url,
    username: Username,
    password: Password,
    description: Annotated[str, typer.Option(help="What it is, and in which units.")] = "",
    tag: Annotated[
        list[str] | None, typer.Option(help="Search word such as #birth-records; repeat it.")
    ] = None,
    discover: Annotated[list[str] | None, typer.Option(help="Who may find it; @signed-in for all.")] = None,
    compute: Annotated[list[str] | None, typer.Option(help="Who may compute aggregates on it.")] = None,
    raw: Annotated[list[str] | None, typer.Option(help="Who may have the real values.")] = None,
    train: Annotated[list[str] | None, typer.Option(help="Who may train models on it.")] = None,
    export_model: Annotated[list[str] | None, typer.Option(help="Who may take such models away.")] = None,
    entity: Annotated[str | None, typer.Option(help="Column that names the data subject.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Column to leave out; repeat it.")] = None,
    approve: Annotated[list[str] | None, typer.Option(help="Who may answer requests for it.")] = None,
    rows_are_entities: Annotated[
        bool, typer.Option("--rows-are-entities", help="Every row is an entity of its own.")
    ] = False,
    min_rows: Annotated[int, typer.Option(min=1, help="Fewest rows behind an aggregate.")] = 10,
    threshold: Thresholds = None,
    reviewers: Annotated[
        int, typer.Option(min=0, max=2, help="How many people agree to a request; 0: it takes none.")
    ] = 1,
) -> None:
    """Publish a file. Nobody but you sees it unless you say so."""
    access = gw.Access(
        discover or (), compute or (), raw or (), train or (), export_model or (), approve or ()
    )
    with node(url, username, password) as home:
        made = home.publish(
            name,
            path,
            description=description,
            tags=tag or (),
            access=access,
            types=dict.fromkeys(skip or (), "skip"),
            entity=entity,
            rows_are_entities=rows_are_entities,
            min_rows=min_rows,
            disclosure=_disclosure(gw.Disclosure(), threshold or ()),
            reviewers=reviewers,
        )
    say(f"published {made.name}: {made.content}")


@app.command()
def disclosure(
    name: Dataset,
    url: Url,
    username: Username,
    password: Password,
    rows_are_entities: Annotated[
        bool | None, typer.Option(help="Whether every row is an entity of its own.")
    ] = None,
    min_rows: Annotated[int | None, typer.Option(min=1, help="Fewest rows behind an aggregate.")] = None,
    threshold: Thresholds = None,
) -> None:
    """Show or change what an answer must hold to leave: whose the rows are, and thresholds."""
    with node(url, username, password) as home:
        told = home.disclosure(name)
        if threshold or rows_are_entities is not None or min_rows is not None:
            told = _disclosure(told, threshold or ())
            home.change(name, rows_are_entities=rows_are_entities, min_rows=min_rows, disclosure=told)
    table(("threshold", "value"), [(key, str(value)) for key, value in asdict(told).items()], empty="none")


def _disclosure(told: gw.Disclosure, changes: Sequence[str]) -> gw.Disclosure:
    """Read NAME=NUMBER; raises ``InvalidInputError`` naming what it cannot read."""
    known = {one.name for one in fields(gw.Disclosure)}
    read: dict[str, Any] = {}
    for change in changes:
        key, _, value = change.partition("=")
        try:
            read[key] = None if value == "none" else int(value) if value.isdecimal() else float(value)
        except ValueError as why:
            raise InvalidInputError(f"'{change}' is not NAME=NUMBER or NAME=none") from why
    if unknown := sorted(read.keys() - known):
        raise InvalidInputError(f"no threshold {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return changed(told, **read)


@app.command()
def replace(
    name: Dataset,
    path: Annotated[Path, typer.Argument(help="File with the same columns; others are left out.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Put a file in place of a dataset's values, as its next version; rules stay."""
    with node(url, username, password) as home:
        made = home.replace(name, path)
    say(f"replaced {made.name}: {made.content}")


@app.command()
def withdraw(name: Dataset, url: Url, username: Username, password: Password) -> None:
    """Delete a dataset from the node."""
    with node(url, username, password) as home:
        home.withdraw(name)
    say(f"withdrew {name}")
