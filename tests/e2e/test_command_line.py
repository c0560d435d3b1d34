"""What owners do at the command line, against real processes."""

import json
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import gridward as gw
from tests.support.grids import OWNERS, PASSWORD, Grid, ServerProcess, gridward

pytestmark = pytest.mark.e2e


def owner(
    grid: Grid, *arguments: str, node: str = "hospital", **more: str
) -> "subprocess.CompletedProcess[str]":
    credentials = {"GRIDWARD_USERNAME": OWNERS[node], "GRIDWARD_PASSWORD": PASSWORD, "COLUMNS": "200"}
    return gridward(*arguments, GRIDWARD_URL=grid.nodes[node].url, **credentials | more)


def said(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_owner_publishes_lists_and_withdraws(grid: Grid, tmp_path: Path) -> None:
    path = tmp_path / "births.csv"
    pd.DataFrame({"weight": [3.5] * 12, "height": [47.0] * 12}).to_csv(path, index=False)
    publish = ["dataset", "publish", "cli-births", str(path), "--tag", "#cli", "--discover", "@signed-in"]
    assert "published cli-births: float64[12, 2]" in said(owner(grid, *publish))
    listed = said(owner(grid, "dataset", "list"))
    assert "cli-births" in listed
    assert "3.5" not in listed
    pd.DataFrame({"height": [48.0] * 20, "note": ["-"] * 20, "weight": [3.6] * 20}).to_csv(path, index=False)
    replaced = said(owner(grid, "dataset", "replace", "cli-births", str(path)))
    assert "replaced cli-births: float64[20, 2]" in replaced
    assert "withdrew cli-births" in said(owner(grid, "dataset", "withdraw", "cli-births"))
    assert "cli-births" not in said(owner(grid, "dataset", "list"))


def test_an_owner_asks_how_the_node_is_doing(grid: Grid) -> None:
    now = said(owner(grid, "status"))
    assert all(word in now for word in ("computations", "0 running, 0 waiting", "gateway grid", "joined"))


def test_an_owner_keeps_accounts(grid: Grid) -> None:
    added = owner(grid, "user", "add", "walter", "--role", "guest", GRIDWARD_NEW_PASSWORD=PASSWORD)
    assert "walter is a guest here" in said(added)
    assert "walter is a data_officer here" in said(owner(grid, "user", "role", "walter", "data_officer"))
    assert "walter is locked" in said(owner(grid, "user", "disable", "walter"))
    assert "disabled" in said(owner(grid, "user", "list"))
    with pytest.raises(gw.WrongCredentialsError):
        gw.connect(grid.nodes["hospital"].url, "walter", PASSWORD)


def test_addresses_are_kept_and_a_server_without_mail_says_so(grid: Grid) -> None:
    url = {"GRIDWARD_URL": grid.nodes["hospital"].url}
    invited = said(owner(grid, "user", "invite", "iris", "--email", "iris@example.org"))
    assert "One-time token for iris" in invited
    assert "sent by e-mail" not in invited
    assert "iris has no e-mail address" in said(owner(grid, "user", "email", "iris", ""))
    own = said(owner(grid, "account", "mail", "--address", "bob@example.org", "--notices", "none"))
    assert "bob has bob@example.org; notices: none" in own
    assert "Where that server sends mail, a code is on its way; then: gridward account confirm-mail" in own
    refused = owner(grid, "account", "confirm-mail", "--code", "guessed")
    assert (refused.returncode, "code: it is not that" in refused.stderr) == (1, True)
    forgot = gridward("forgot", "--username", "iris", **url)
    assert forgot.returncode == 1
    assert "mails no resets" in forgot.stderr


def test_what_login_prints_stands_for_a_password(grid: Grid) -> None:
    with grid.owner("company") as carl:
        token = carl.transport.credentials.token()  # type: ignore[union-attr]
        listed = owner(grid, "user", "list", node="company", GRIDWARD_PASSWORD=token)
    assert "carl" in said(listed)
    none = gridward("login", "--oidc", GRIDWARD_URL=grid.nodes["company"].url)
    assert none.returncode == 1
    assert "has no sign-in provider" in none.stderr


def test_the_log_of_a_node_is_read_exported_and_checked_elsewhere(grid: Grid, tmp_path: Path) -> None:
    said(owner(grid, "user", "add", "wendy", "--role", "guest", GRIDWARD_NEW_PASSWORD=PASSWORD))
    listed = said(owner(grid, "audit", "list", "--action", "create_user", "--subject", "wendy"))
    assert OWNERS["hospital"] in listed
    assert "each as it was written" in said(owner(grid, "audit", "check"))
    head, log = tmp_path / "head.json", tmp_path / "log.jsonl"
    head.write_text(said(owner(grid, "audit", "head")))
    said(owner(grid, "audit", "export", str(log)))
    checked = said(gridward("audit", "verify", str(log), "--head", str(head)))
    assert "each as it was written" in checked
    assert json.loads(head.read_text())["server"] in checked
    log.write_text(log.read_text().replace('"wendy"', '"wanda"'))
    changed = gridward("audit", "verify", str(log))
    assert changed.returncode == 1
    assert "is not what was written" in changed.stdout
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    cut = gridward("audit", "verify", str(log))
    assert cut.returncode == 1
    assert "does not end with a signed head" in cut.stderr


def test_the_gateways_owner_sees_who_joined(grid: Grid) -> None:
    olga = {"GRIDWARD_USERNAME": "olga", "GRIDWARD_PASSWORD": PASSWORD, "COLUMNS": "200"}
    listed = said(gridward("directory", "list", GRIDWARD_URL=grid.gateway.url, **olga))
    assert all(name in listed for name in OWNERS)
    assert "dana" in said(gridward("user", "list", GRIDWARD_URL=grid.gateway.url, **olga))
    joined = said(owner(grid, "membership", "list"))
    assert "joined" in joined
    assert grid.gateway.url in joined


def test_a_wrong_password_is_one_line(grid: Grid) -> None:
    refused = owner(grid, "dataset", "list", GRIDWARD_PASSWORD="not the password")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert "not the password" not in refused.stderr


def test_commands_leave_no_session_behind(grid: Grid) -> None:
    with grid.owner("company") as carl:
        before = carl.transport.send("GET", "/v1/sessions").json()["items"]
        said(owner(grid, "user", "list", node="company"))
        after = carl.transport.send("GET", "/v1/sessions").json()["items"]
    assert {session["session_id"] for session in after} == {session["session_id"] for session in before}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_server_ends_cleanly_when_asked_and_starts_again_with_its_identity(
    how: signal.Signals, tmp_path: Path
) -> None:
    server = ServerProcess("node", "lonely", tmp_path / "data")
    token = server.init()
    server.start()
    try:
        gw.setup_owner(server.url, token, "bob", PASSWORD)
        with gw.connect(server.url, "bob", PASSWORD) as bob:
            before = bob.id
        assert server.process is not None
        server.process.send_signal(how)
        assert server.process.wait(20) in (0, -how)
        server.process = None
        assert "Traceback" not in server.log.read_text()
        server.start()
        with gw.connect(server.url, "bob", PASSWORD) as bob:
            assert bob.id == before
    finally:
        server.stop()


def test_log_lines_are_json_and_tell_no_secret(grid: Grid) -> None:
    with grid.owner("hospital") as hospital:
        hospital.search("#nothing")
    log = grid.nodes["hospital"].log.read_text()
    lines = [line for line in log.splitlines() if not line.startswith("Gridward ")]
    assert lines
    assert all(json.loads(line)["message"] for line in lines)
    assert PASSWORD not in log
    assert "#nothing" not in log


def test_a_second_process_on_one_port_is_refused_in_one_line(grid: Grid) -> None:
    node = grid.nodes["hospital"]
    done = gridward("node", "--data-dir", str(node.data_dir), "--port", str(node.port))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "in use" in done.stderr
