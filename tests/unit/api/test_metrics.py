"""Metrics: off unless asked for, read with their own token, bounded in their labels, silent about data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from gridward.api.main import create_app
from gridward.server import state
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.asking import asked
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest
from tests.support.questions import column

TOKEN = {"Authorization": "Bearer metrics-token"}


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> NodeSettings:
    file = tmp_path / "metrics-token"
    file.write_text("metrics-token\n")
    return NodeSettings(
        data_dir=tmp_path / "node",
        database_url=database_url,
        password_memory_kib=1024,
        password_passes=1,
        metrics_token_file=file,
    )


def samples(node: NodeUnderTest) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = node.client.get("/metrics", headers=TOKEN)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route_method_and_class_of_status(node: NodeUnderTest) -> None:
    for path in ("/v1/requests/req-1", "/v1/requests/req-2", "/nowhere/1", "/nowhere/2"):
        node.client.get(path)
    node.client.request("BREW", "/nowhere")
    found = samples(node)
    assert found["gridward_requests_total", ("/v1/requests/{request_id}", "4xx", "GET")] == 2
    assert found["gridward_requests_total", ("4xx", "GET", "unrouted")] == 2
    assert found["gridward_requests_total", ("4xx", "other", "unrouted")] == 1
    assert found["gridward_request_seconds_count", ("/v1/setup",)] == 1


def test_what_waits_is_read_when_asked_for(node: NodeUnderTest) -> None:
    before = samples(node)
    assert before["gridward_requests_open", ()] == 0
    access = {"discover": ["@signed-in"], "compute": ["@signed-in"]}
    data: Any = publish(
        node, node.as_("bob"), {"weight": np.array([3.5, 4.0])}, name="hidden-births", access=access
    )
    asked(node, node.as_("ana"), column(data, "weight").mean())
    after = samples(node)
    assert after["gridward_requests_open", ()] == 1
    assert after["gridward_audit_entries", ()] > before["gridward_audit_entries", ()]
    for name in ("gridward_computations", "gridward_trainings", "gridward_outbox_waiting"):
        assert after[name, ()] == 0
    assert after["gridward_bundles_left", ()] == 0
    text = node.client.get("/metrics", headers=TOKEN).text
    assert not [word for word in ("hidden-births", "weight", "ana", "bob", data["id"]) if word in text]


def test_a_computation_that_runs_is_counted(node: NodeUnderTest) -> None:
    with node.node.workers.computations.place():
        assert samples(node)["gridward_computations", ()] == 1


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer another"}, {"Authorization": "Bearer "}])
def test_metrics_take_their_own_token(node: NodeUnderTest, sent: dict[str, str]) -> None:
    assert node.client.get("/metrics", headers=sent).status_code == 401
    assert node.client.get("/metrics", headers=node.as_("bob")).status_code == 401


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[NodeUnderTest]:
    settings = NodeSettings(data_dir=tmp_path / "silent", password_memory_kib=1024, password_passes=1)
    token = make(settings.data_dir)
    with TestClient(create_app(settings)) as client:
        yield NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]


def test_without_a_token_there_are_no_metrics(silent: NodeUnderTest) -> None:
    assert silent.client.get("/metrics", headers=TOKEN).status_code == 404


def test_two_apps_in_a_process_count_apart(node: NodeUnderTest, silent: NodeUnderTest) -> None:
    silent.client.get("/health")
    health = ("gridward_requests_total", ("/health", "2xx", "GET"))
    assert health not in samples(node)
    node.client.get("/health")
    assert samples(node)[health] == 1


def test_readiness_names_what_is_missing(node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert node.client.get("/ready").json() == {"status": "ready"}
    assert node.client.get("/health").json() == {"status": "alive"}
    monkeypatch.setattr(state, "LEAST_FREE_BYTES", 2**80)
    node.node.workers.close()
    answer = node.client.get("/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.json()["detail"] == "not ready: room on the disk, the plan workers"
    monkeypatch.setattr(node.node.database, "is_ready", lambda: False)
    assert "the database" in node.client.get("/ready").json()["detail"]
    assert node.client.get("/health").status_code == 200
