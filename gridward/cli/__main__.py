"""``python -m gridward.cli``."""

from gridward.cli.main import app

app(prog_name="gridward")
