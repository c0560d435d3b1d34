import asyncio
import errno
import socket
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from gridward.cli import serve
from gridward.cli.serve import _config, _listening
from gridward.server.settings import NodeSettings


def test_no_answer_waits_for_an_acknowledgement(tmp_path: Path) -> None:
    async def accepted_without_delay(listener: socket.socket) -> int:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            opened: socket.socket = writer.get_extra_info("socket")
            seen.set_result(opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(accept, sock=listener.dup()):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            without_delay = await seen
            writer.close()
            await writer.wait_closed()
        return without_delay

    with _listening(NodeSettings(data_dir=tmp_path, port=0)) as (listener, placed):
        assert placed.port == listener.getsockname()[1]
        assert asyncio.run(accepted_without_delay(listener))


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such option")
def test_a_caller_that_reads_nothing_is_left_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_UNREAD_S", 0.5)
    with _listening(NodeSettings(data_dir=tmp_path, port=0)) as (listener, _):
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted, pytest.raises(OSError, match="timed out") as ended:
                accepted.settimeout(30)
                while True:
                    accepted.sendall(bytes(1 << 20))
    assert ended.value.errno == errno.ETIMEDOUT  # the system's word, not this test's patience


@pytest.mark.parametrize(("proxies", "scheme"), [("127.0.0.1", "http"), ("127.0.0.1,10.0.0.0/8", "https")])
def test_only_proxies_that_a_setting_names_say_that_a_browser_came_over_https(
    proxies: str, scheme: str
) -> None:
    app = FastAPI()

    @app.get("/")
    def seen(request: Request) -> list[str | None]:
        return [request.url.scheme, request.client.host if request.client else None]

    config = _config(app, NodeSettings(forwarded_allow_ips=proxies))
    config.load()
    client = TestClient(config.loaded_app, client=("10.1.2.3", 4242))
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.9"}
    assert client.get("/", headers=told).json() == [scheme, "192.0.2.9" if scheme == "https" else "10.1.2.3"]
