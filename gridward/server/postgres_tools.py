"""PostgreSQL's own `pg_dump` and `pg_restore`, for back-ups."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from gridward.core.errors import ConflictError, InvalidInputError

_VARIABLES: Final = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "username", "PGPASSWORD": "password"}
_QUERY: Final = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "service", "passfile"}
)


def dump(url: URL, into: Path) -> None:
    """Write the database as one transaction sees it, in PostgreSQL's custom format."""
    _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={into}")


def restore(url: URL, dumped: Path) -> None:
    """Fill an empty database, in one transaction."""
    _run(
        "pg_restore",
        url,
        "--no-owner",
        "--no-privileges",
        "--exit-on-error",
        "--single-transaction",
        f"--dbname={url.database}",
        str(dumped),
    )


def _run(program: str, url: URL, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise InvalidInputError(f"{program} is not installed; it comes with PostgreSQL's client programs")
    done = subprocess.run(  # noqa: S603 (a program of PostgreSQL, arguments of our own)
        [found, *arguments], env=os.environ | _connection(url), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConflictError(f"{program} failed: {' '.join(done.stderr.split())[:500]}")


def _connection(url: URL) -> dict[str, str]:
    """Name the server in the environment: arguments of a process can be read by anybody on the machine."""
    said = {name: getattr(url, part) for name, part in _VARIABLES.items()} | {"PGDATABASE": url.database}
    unknown = sorted(url.query.keys() - _QUERY)
    if unknown:
        raise InvalidInputError(f"the database's URL has {', '.join(unknown)}, which back-ups cannot pass on")
    said |= {f"PG{name.upper()}": value for name, value in url.query.items()}
    return {name: str(value) for name, value in said.items() if value is not None}
