"""`gridward model`: models that a node hosts."""

from dataclasses import asdict
from typing import Annotated

import typer
from pydantic import BaseModel

from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, node
from gridward.core.schemas.models import ModelOut

app = typer.Typer(
    help="Models of a node. They are hosted from Python: node.serve_model(…).", no_args_is_help=True
)
Model = Annotated[str, typer.Argument(help="The model's id.")]


@app.command("list")
def list_models(url: Url, username: Username, password: Password) -> None:
    """List the models that you may discover."""
    with node(url, username, password) as home:
        rows = [
            (one.id, str(one.version), _served(one), " ".join(one.tags), one.description)
            for one in home.models()
        ]
    table(("model", "version", "served", "tags", "description"), rows, empty="no models")


@app.command()
def show(model: Model, url: Url, username: Username, password: Password) -> None:
    """Say what may be known of a model."""
    with node(url, username, password) as home:
        facts = home.describe_model(model)
    known = facts.model_dump(mode="json") if isinstance(facts, BaseModel) else asdict(facts)
    rows = [(key, str(value)) for key, value in known.items()]
    table(("fact", "value"), rows, empty="nothing")


@app.command()
def stock(model: Model, url: Url, username: Username, password: Password) -> None:
    """Say how many bundles are left at each party of an encrypted model that you host."""
    with node(url, username, password) as home:
        found = home.model_stock(model)
    rows = [
        (one.party, str(batch.batch), str(batch.left), str(batch.spent))
        for one in found.parties
        for batch in one.stock or ()
    ]
    table(("party", "batch", "left", "spent"), rows, empty="no bundles")
    for one in found.parties:
        if one.stock is None:
            say(f"{one.party} does not answer")


@app.command()
def withdraw(model: Model, url: Url, username: Username, password: Password) -> None:
    """Delete a model from the node."""
    with node(url, username, password) as home:
        home.withdraw_model(model)
    say(f"withdrew {model}")


def _served(model: ModelOut) -> str:
    if model.deployment_id is not None:
        return "encrypted"
    return "in the clear" if model.holds_parameters else "plan only"
