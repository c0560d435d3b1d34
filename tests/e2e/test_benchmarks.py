"""Benchmarks of real processes, with as little work as they can do: their form, and that they check."""

import pytest

from gridward.bench import api, federated, inference, load, queue, search
from gridward.bench.api import Question
from gridward.bench.measure import Options
from gridward.bench.networks import network
from gridward.core.smpc.compile import compile_plan

pytestmark = [pytest.mark.e2e]


@pytest.mark.parametrize(("batch", "link"), [(1, "ws"), (2, "tls")])
def test_inference_over_processes_counts_what_the_program_states(batch: int, link: str) -> None:
    (result,) = inference.run(Options(repeat=1, model="mlp", batch=batch, link=link))
    told = result.measured
    assert told["levels"] in (1, 2)
    costs = compile_plan(network("mlp").plan, batch=batch, parties=2, levels=told["levels"]).costs
    assert told["rounds"] == costs.rounds
    assert told["online_bytes_per_party"] == costs.online_bytes_per_party
    assert told["dealer_bytes"] == costs.dealer_bytes
    assert 0 < told["socket_bytes_per_party"] - costs.online_bytes_per_party < 64 * costs.rounds
    assert told["max_abs_err_fixed"] < 4 * 2.0**-16
    assert told["peak_rss_bytes"]["party"] >= told["start_rss_bytes"]["party"] > 0
    assert min(told[name]["min"] for name in ("fetch_s", "load_s", "dealer_s", "offline_s")) > 0
    assert set(told["peak_rss_bytes"]) == {"party", "dealer", "host"}
    assert told["online_s"]["min"] > 0
    assert told["dealer_s"]["min"] > 0


def test_a_node_is_measured_by_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    few = tuple(Question(asked.call, asked.callers, 8) for asked in api.QUESTIONS)
    monkeypatch.setattr(api, "QUESTIONS", few)
    results = list(api.run(Options(repeat=1)))
    assert [result.case["callers"] for result in results] == [1, 8, 1, 4]
    assert all(result.measured["latency_s"]["requests"] == 8 for result in results)


def test_a_gateway_finds_all_that_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "REQUESTS", 5)
    results = list(search.run(Options(repeat=1, nodes=3, datasets=20)))
    assert [result.measured["found"] for result in results] == [1, 3, 60, 3]


def test_a_queue_shows_a_page_of_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "CALLS", 4)
    results = list(queue.run(Options(repeat=1, requests=40)))
    assert [result.measured["shown"] for result in results] == [25, 15, 25, 6, 25]
    assert all(result.measured["page_bytes"] < 30_000 for result in results)


def test_a_round_is_measured_over_all_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federated, "ROWS", 100)
    (result,) = federated.run(Options(repeat=1, model="mlp", nodes=2))
    assert result.case["nodes"] == 2
    assert result.measured["round_s"]["runs"] == 1
    assert result.measured["slowest_training_s"]["median"] <= result.measured["round_s"]["median"]


def test_a_party_is_measured_while_it_runs_encrypted_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "REQUESTS", 20)
    idle, _, busy, _ = load.run(Options(repeat=1, model="mlp", queries=2))
    assert "answered" not in idle.measured
    assert busy.case["encrypted_queries_at_once"] == 2
    assert busy.measured["answered"] > 0
    assert busy.measured["latency_s"]["requests"] == 20
    assert set(load.BRIEF) <= busy.case.keys() | busy.measured.keys()
