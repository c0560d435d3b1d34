import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gridward.cli.main import app
from gridward.server import keys

ENVIRONMENT = {"GRIDWARD_USERNAME": "bob", "GRIDWARD_PASSWORD": "correct horse", "COLUMNS": "200"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=ENVIRONMENT)


def one_line(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_init_makes_a_closed_folder_and_prints_a_token_that_works_once(tmp_path: Path) -> None:
    result = run("init", "--data-dir", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    token = next(
        line.split()[-1] for line in result.stdout.splitlines() if line.startswith("One-time token:")
    )
    assert keys.is_setup_token(tmp_path / "data", token)
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert keys.load(tmp_path / "data").id in result.stdout


def test_init_says_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    said = run("init", "--data-dir", str(folder), "--gateway").stdout
    assert f"gridward gateway --data-dir {folder}" in said
    assert "gridward claim --url http://127.0.0.1:5000" in said


def test_init_never_overwrites_keys(tmp_path: Path) -> None:
    run("init", "--data-dir", str(tmp_path / "data"))
    before = keys.load(tmp_path / "data").id
    assert "keys already" in one_line(run("init", "--data-dir", str(tmp_path / "data")))
    assert keys.load(tmp_path / "data").id == before


def test_a_lost_token_is_renewed_and_the_old_one_is_dead(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = run("init", "--data-dir", str(folder)).stdout.split("One-time token: ")[1].split()[0]
    second = (
        run("init", "--data-dir", str(folder), "--renew-token").stdout.split("One-time token: ")[1].split()[0]
    )
    assert keys.is_setup_token(folder, second)
    assert not keys.is_setup_token(folder, first)


@pytest.mark.parametrize("kind", ["node", "gateway"])
def test_a_server_without_keys_refuses_to_start_in_one_line(kind: str, tmp_path: Path) -> None:
    assert "gridward init" in one_line(run(kind, "--data-dir", str(tmp_path / "none"), "--port", "0"))


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    run("init", "--data-dir", str(tmp_path / "data"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = one_line(run("node", "--data-dir", str(tmp_path / "data"), "--port", port))
    assert f"127.0.0.1:{port}" in said
    assert "in use" in said


def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path) -> None:
    said = one_line(run("node", "--data-dir", str(tmp_path), "--name", "No Name"))
    assert "name" in said


@pytest.mark.parametrize(
    "command",
    [
        ["user", "list"],
        ["dataset", "list"],
        ["model", "list"],
        ["membership", "list"],
        ["directory", "list"],
        ["claim", "--token", "x"],
    ],
)
def test_a_server_that_is_down_is_one_line_that_names_it(command: list[str]) -> None:
    said = one_line(run(*command, "--url", "http://127.0.0.1:1"))
    assert "http://127.0.0.1:1 cannot be reached" in said


def test_help_does_not_load_torch_or_the_servers() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from gridward.cli.main import app;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        "heavy = {'torch', 'fastapi', 'sqlmodel', 'numba', 'pyarrow'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_text_of_others_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from gridward.cli import output

    output.say("name \x1b[2J[bold]x[/bold]")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]x[/bold]" in printed
