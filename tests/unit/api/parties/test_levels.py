import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from gridward.api.main import create_app
from gridward.api.parties import probe
from gridward.api.parties.levels import UNMEASURED, choose
from gridward.api.parties.probe import PROBE_PATH, delivered_per_s, round_trip_s
from gridward.core.errors import NodeUnreachableError
from gridward.core.schemas.probes import ProbeIn, ProbeOut
from gridward.core.smpc.program import Costs
from gridward.server import keys
from gridward.server.settings import NodeSettings
from tests.support.cast import Cast
from tests.unit.api.services.test_deployment_roles import RoleHolderUnderTest


def costs(rounds: int, dealer_bytes: int) -> Costs:
    return Costs(rounds, 0, dealer_bytes, 0, 0, 0)


ONE, TWO = costs(15, 2_000_000), costs(20, 1_000_000)


@pytest.mark.parametrize(
    ("ways", "levels"),
    [
        ([], UNMEASURED),
        ([(0.02, 40e6)], 1),  # 100 ms of rounds spared, 25 ms of bytes more
        ([(0.0001, 40e6)], 2),
        ([(0.0001, 40e6), (0.02, 40e6)], 1),  # the farthest pair decides
        ([(0.02, 1e9), (0.02, 1e6)], 2),  # and the slowest way from the provider
    ],
)
def test_one_level_is_chosen_where_its_rounds_are_worth_its_bytes(
    ways: list[tuple[float, float]], levels: int
) -> None:
    measured = [ProbeOut(round_trip_s=trip, provider_bytes_per_s=rate) for trip, rate in ways]
    assert choose(measured, ONE, TWO) == levels


@pytest.fixture
def party(tmp_path: Path) -> Iterator[RoleHolderUnderTest]:
    settings = NodeSettings(data_dir=tmp_path / "node", offer_party=True, peer_timeout_s=0.2)
    keys.make(settings.data_dir)
    with TestClient(create_app(settings)) as http:
        yield RoleHolderUnderTest(Cast(tmp_path / "cast"), "public", http)


def wish(party: RoleHolderUnderTest) -> ProbeIn:
    document = party.cast.document()
    return ProbeIn(
        gateway_id=document.gateway_id,
        host=document.host,
        parties=document.parties,
        crypto_provider=document.crypto_provider,
    )


def test_a_party_measures_only_towards_attested_nodes_and_for_their_host(party: RoleHolderUnderTest) -> None:
    body = wish(party)
    host, stranger = party.cast.nodes["company"], party.cast.nodes["hospital"]
    raw = body.model_dump_json().encode()
    assert party.call(stranger, "POST", PROBE_PATH, raw).status_code == 404
    moved = body.parties[0].model_copy(update={"url": "http://127.0.0.1:9"})
    forged = body.model_copy(update={"parties": [moved, body.parties[1]]}).model_dump_json().encode()
    refused = party.call(host, "POST", PROBE_PATH, forged)
    assert (refused.status_code, refused.json()["code"]) == (409, "deployment_refused")
    assert "another url" in refused.json()["detail"]
    # attested, but nobody answers there
    away = party.call(host, "POST", PROBE_PATH, raw)
    assert (away.status_code, away.json()["code"]) == (424, "node_unreachable")


def test_who_does_not_answer_is_named(party: RoleHolderUnderTest) -> None:
    away = wish(party).parties[0].model_copy(update={"url": "http://127.0.0.1:9"})
    with pytest.raises(NodeUnreachableError, match="hospital does not answer"):
        round_trip_s(away)
    with httpx2.Client() as client, pytest.raises(NodeUnreachableError, match="hospital does not answer"):
        delivered_per_s(client, away)


def test_a_rate_is_of_the_bytes_that_came(party: RoleHolderUnderTest) -> None:
    page = httpx2.MockTransport(lambda request: httpx2.Response(200, content=iter([bytes(1 << 16)])))
    with httpx2.Client(transport=page) as client:
        assert delivered_per_s(client, wish(party).parties[0]) > 1 << 16


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def dripping(at_once: bytes) -> Iterator[str]:
    """Answer one request with some bytes at once and then one at a time; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            caller, _ = listener.accept()
            with caller, suppress(OSError):
                caller.sendall(at_once)
                for _ in range(1000):
                    caller.sendall(b"x")
                    time.sleep(0.02)

        thread = threading.Thread(target=drip)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("answer", [HEAD, b"HTTP/1.1 200 OK\r\nX-Long: "], ids=["body", "head"])
def test_a_page_that_comes_a_byte_at_a_time_holds_nobody_up(
    party: RoleHolderUnderTest, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(probe, "CONNECT_S", 0.3)
    monkeypatch.setattr(probe, "PAGE_S", 0.9)
    began = time.monotonic()
    with dripping(answer) as url, httpx2.Client(trust_env=False) as client:
        holder = wish(party).parties[0].model_copy(update={"url": url})
        try:
            assert delivered_per_s(client, holder) < 1000
        except NodeUnreachableError as why:
            assert answer is not HEAD, why
    assert time.monotonic() - began < 10
