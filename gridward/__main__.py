"""`python -m gridward` is the command `gridward`."""

from gridward.cli.main import app

app()
