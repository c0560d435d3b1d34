"""The command line: what people run. Each command is one clear line of error away from its cause."""

from importlib import import_module
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from gridward.cli import (
    account,
    audit,
    backup,
    datasets,
    directory,
    groups,
    membership,
    models,
    requests,
    roles,
    runs,
    serve,
    setup,
    status,
    users,
)
from gridward.cli.output import fail
from gridward.core.errors import GridError


class _ClearErrors(TyperGroup):
    """Turns refusals into one line and exit code 1; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 (the context's class is private to Typer)
        try:
            return super().invoke(ctx)
        except GridError as error:
            raise fail(error.detail) from error
        except ValidationError as error:
            raise fail(_faults(error)) from error


app = typer.Typer(
    name="gridward",
    help="A peer-to-peer grid for private data science.",
    cls=_ClearErrors,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
app.command("init")(setup.init)
app.command("claim")(setup.claim)
app.command("accept")(account.accept)
app.command("forgot")(account.forgot)
app.command("login")(account.login)
app.command("node")(serve.node)
app.command("gateway")(serve.gateway)
app.command("status")(status.status)
app.command("backup")(backup.make)
app.command("restore")(backup.restore)
app.add_typer(account.app, name="account")
app.add_typer(users.app, name="user")
app.add_typer(roles.app, name="role")
app.add_typer(groups.app, name="group")
app.add_typer(datasets.app, name="dataset")
app.add_typer(models.app, name="model")
app.add_typer(audit.app, name="audit")
app.add_typer(requests.app, name="request")
app.add_typer(membership.app, name="membership")
app.add_typer(directory.app, name="directory")
app.add_typer(runs.app, name="runs")


@app.command()
def demo() -> None:
    """Run the three stories: a gateway and four nodes, real processes on this machine."""
    raise typer.Exit(import_module("gridward.demo.run").main())


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False
)
def bench(ctx: typer.Context) -> None:
    """Measure: `gridward bench list`, `gridward bench run NAME [--json] [--repeat N]`."""
    raise typer.Exit(import_module("gridward.bench.main").main(ctx.args))


def _faults(error: ValidationError) -> str:
    lines = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return "; ".join(lines)
