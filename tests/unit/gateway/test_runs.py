"""Runs as a resource: whose they are, what is told of them, how they are followed."""

import json
from typing import Any

import pytest
from httpx2 import Response
from sqlmodel import select

from gridward.core.schemas.examples import EXAMPLES
from gridward.gateway import runs
from gridward.gateway.tables import Run
from gridward.server.principals import Principal
from tests.support.gateways import GatewayUnderTest

RUN_ID = "run-0123456789abcdef01234567"
PLACE = f"/v1/runs/{RUN_ID}"


def begin(grid: GatewayUnderTest, user: str = "dana", **fields: Any) -> Response:
    body = {"id": RUN_ID, "model": "LeNet", "strategy": "FedAvg", "nodes": ["x", "y"], "rounds": 3}
    return grid.post("/v1/runs", body | fields, user)


def told(number: int, loss: float = 0.5) -> dict[str, Any]:
    node = {"node": "x", "rows": 10, "seconds": 1.0, "metrics": {"loss": loss}}
    return {"number": number, "seconds": 2.0, "nodes": [node, node | {"node": "y", "rows": 30}]}


def events(grid: GatewayUnderTest, seen: int = 0) -> list[tuple[int, str, dict[str, Any]]]:
    """Read a stream to its end: the run has ended, or this would last five minutes."""
    headers = grid.as_("dana") | {"Last-Event-ID": str(seen)}
    answer = grid.client.get(f"{PLACE}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def test_a_run_is_its_starters_and_the_owner_of_the_gateway_sees_it(grid: GatewayUnderTest) -> None:
    assert begin(grid).status_code == 201
    assert grid.post(f"{PLACE}/rounds", told(1)).status_code == 200
    for user, seen in (("dana", 1), ("olga", 1), ("eve", 0)):
        assert grid.get("/v1/runs", user).json()["total"] == seen
        for path in (PLACE, f"{PLACE}/rounds"):
            assert grid.get(path, user).status_code == (200 if seen else 404)
    assert grid.get(f"{PLACE}/events", "eve").status_code == 404
    for user in ("olga", "eve"):
        for act in ("pause", "resume", "cancel"):
            assert grid.post(f"{PLACE}/{act}", None, user).status_code == 404
        assert grid.post(f"{PLACE}/rounds", told(2), user).status_code == 404
        assert grid.post(f"{PLACE}/word", {"state": "done"}, user).status_code == 404
        assert begin(grid, user).status_code == 404
    assert grid.get(PLACE).json()["state"] == "running"


def test_who_may_not_train_begins_no_run(grid: GatewayUnderTest) -> None:
    grid.as_("gus", role="guest")
    assert begin(grid, "gus").status_code == 403


def test_rounds_are_told_once_more_when_more_is_known(grid: GatewayUnderTest) -> None:
    begin(grid)
    grid.post(f"{PLACE}/rounds", told(1))
    run = grid.post(f"{PLACE}/rounds", told(2, 0.25)).json()
    assert (run["rounds_done"], run["loss"]) == (2, 0.25)
    again = grid.post(f"{PLACE}/rounds", told(1) | {"validation": {"loss": 0.4}}).json()
    assert (again["rounds_done"], again["loss"]) == (2, 0.25)
    page = grid.get(f"{PLACE}/rounds").json()
    assert [one["number"] for one in page["items"]] == [1, 2]
    assert page["items"][0]["validation"] == {"loss": 0.4}


@pytest.mark.parametrize(
    "body", [told(4), told(0), told(1) | {"parameters": [1.0]}, told(1) | {"validation": {"loss": "nan"}}]
)
def test_what_is_no_round_of_the_run_is_refused(grid: GatewayUnderTest, body: dict[str, Any]) -> None:
    begin(grid)
    assert grid.post(f"{PLACE}/rounds", body).status_code == 422
    assert grid.get(f"{PLACE}/rounds").json()["total"] == 0


def test_a_run_is_paused_resumed_and_cancelled_by_its_starter(grid: GatewayUnderTest) -> None:
    begin(grid)
    assert grid.post(f"{PLACE}/pause", None).json()["state"] == "paused"
    assert grid.post(f"{PLACE}/rounds", told(1)).json()["state"] == "paused"
    assert grid.post(f"{PLACE}/word", {"detail": "paused"}).json()["state"] == "paused"
    assert begin(grid).json()["state"] == "paused"
    assert grid.post(f"{PLACE}/resume", None).json()["state"] == "running"
    assert grid.post(f"{PLACE}/cancel", None).json()["state"] == "cancelled"
    for act in ("pause", "resume", "cancel"):
        assert grid.post(f"{PLACE}/{act}", None).status_code == 409
    assert begin(grid).status_code == 409


def test_a_run_that_failed_is_taken_up_again_and_one_that_ended_tells_no_more(
    grid: GatewayUnderTest,
) -> None:
    begin(grid)
    failed = grid.post(f"{PLACE}/word", {"state": "failed", "detail": "1 of 2 nodes answered"}).json()
    assert (failed["state"], failed["detail"]) == ("failed", "1 of 2 nodes answered")
    assert grid.post(f"{PLACE}/rounds", told(1)).status_code == 409
    assert begin(grid).json()["state"] == "running"
    done = grid.post(f"{PLACE}/word", {"state": "done", "best_round": 2}).json()
    assert (done["state"], done["best_round"], done["detail"]) == ("done", 2, "")


@pytest.mark.parametrize("last", ["failed", "done", "running"])
def test_a_cancelled_run_stays_cancelled_whatever_its_driver_says(grid: GatewayUnderTest, last: str) -> None:
    begin(grid)
    grid.post(f"{PLACE}/cancel", None)
    heard = grid.post(f"{PLACE}/word", {"state": last, "detail": "its driver ended", "best_round": 1}).json()
    assert (heard["state"], heard["detail"], heard["best_round"]) == ("cancelled", "", None)
    assert begin(grid).status_code == 409


def test_a_watcher_that_was_cut_off_goes_on_where_it_was(grid: GatewayUnderTest) -> None:
    begin(grid)
    for number in (1, 2):
        grid.post(f"{PLACE}/rounds", told(number))
    grid.post(f"{PLACE}/rounds", told(1) | {"validation": {"loss": 0.4}})
    grid.post(f"{PLACE}/word", {"state": "done"})
    all_of_it = events(grid)
    assert [(kind, said.get("number")) for _, kind, said in all_of_it] == [
        ("round", 2),
        ("round", 1),
        ("run", None),
    ]
    assert all_of_it[-1][2]["state"] == "done"
    assert [one[0] for one in all_of_it] == sorted(one[0] for one in all_of_it)
    assert events(grid, seen=all_of_it[0][0]) == all_of_it[1:]


def test_a_watcher_gets_many_rounds_page_by_page_and_the_run_once_it_has_all(
    grid: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_CHANGES", 2)
    begin(grid, rounds=4)
    for number in (1, 2, 3, 4):
        grid.post(f"{PLACE}/rounds", told(number))
    with grid.gateway.database.read() as db:
        run, rounds, are_all = runs.changes(db, caller(grid), RUN_ID, 0)
    assert ([record.number for _, record in rounds], are_all, run.revision) == ([1, 2], False, 5)
    grid.post(f"{PLACE}/word", {"state": "done"})
    seen = [(kind, said.get("number")) for _, kind, said in events(grid)]
    assert seen == [*(("round", number) for number in (1, 2, 3, 4)), ("run", None)]


def caller(grid: GatewayUnderTest) -> Principal:
    """Who started the run."""
    with grid.gateway.database.read() as db:
        found = db.exec(select(Run)).one()
    return Principal("dana", "data_scientist", found.user_id, "")


def test_a_run_has_so_many_bytes_here_and_what_is_told_again_counts_once(
    grid: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(grid)
    grid.post(f"{PLACE}/rounds", told(1))
    with grid.gateway.database.read() as db:
        size = db.exec(select(Run)).one().stored_bytes
    monkeypatch.setattr(runs, "_MOST_BYTES", size)
    assert grid.post(f"{PLACE}/rounds", told(1)).status_code == 200
    refused = grid.post(f"{PLACE}/rounds", told(2))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert grid.get(PLACE).json()["rounds_done"] == 1
    assert grid.get(f"{PLACE}/rounds").json()["total"] == 1


def test_the_oldest_run_that_has_ended_makes_room_for_another(
    grid: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_MOST_RUNS", 2)
    ids = [f"run-{number:024}" for number in range(4)]
    for run_id in ids[:2]:
        assert begin(grid, id=run_id).status_code == 201
        grid.clock.forward(1)
    assert begin(grid, id=ids[2]).status_code == 409
    assert begin(grid, "eve", id=ids[3]).status_code == 201
    assert begin(grid, id=ids[0]).status_code == 201
    grid.post(f"/v1/runs/{ids[1]}/rounds", told(1))
    grid.post(f"/v1/runs/{ids[1]}/word", {"state": "done"})
    assert begin(grid, id=ids[2]).status_code == 201
    assert [one["id"] for one in grid.get("/v1/runs").json()["items"]] == [ids[2], ids[0]]


def test_acts_are_in_the_log_and_rounds_are_not(grid: GatewayUnderTest) -> None:
    begin(grid)
    grid.post(f"{PLACE}/rounds", told(1))
    grid.post(f"{PLACE}/pause", None)
    grid.post(f"{PLACE}/cancel", None)
    entries = grid.get("/v1/audit", "olga", subject=RUN_ID).json()["items"]
    assert sorted((one["action"], one["decision"]) for one in entries) == [
        ("begin_run", "done"),
        ("decide_run", "cancelled"),
        ("decide_run", "paused"),
    ]


def test_the_examples_have_no_parameters() -> None:
    assert "parameters" not in json.dumps([EXAMPLES["RunOut"], EXAMPLES["RoundRecord"]])
