"""`gridward model`: models that a node hosts."""

from dataclasses import asdict
from typing import Annotated

import typer
from pydantic import BaseModel

import gridward as gw
from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username

app = typer.Typer(
    help="Models of a node. They are hosted from Python: node.serve_model(…).", no_args_is_help=True
)
Model = Annotated[str, typer.Argument(help="The model's id.")]


@app.command("list")
def list_models(url: Url, username: Username, password: Password) -> None:
    """List the models that you may discover."""
    rows = [
        (
            model.id,
            str(model.version),
            "encrypted" if model.deployment_id else "in the clear" if model.holds_parameters else "plan only",
            " ".join(model.tags),
            model.description,
        )
        for model in gw.connect(url, username, password).models()
    ]
    table(("model", "version", "served", "tags", "description"), rows, empty="no models")


@app.command()
def show(model: Model, url: Url, username: Username, password: Password) -> None:
    """Say what may be known of a model."""
    facts = gw.connect(url, username, password).describe_model(model)
    known = facts.model_dump(mode="json") if isinstance(facts, BaseModel) else asdict(facts)
    rows = [(key, str(value)) for key, value in known.items()]
    table(("fact", "value"), rows, empty="nothing")


@app.command()
def withdraw(model: Model, url: Url, username: Username, password: Password) -> None:
    """Delete a model from the node."""
    gw.connect(url, username, password).withdraw_model(model)
    say(f"withdrew {model}")
