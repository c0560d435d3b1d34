import asyncio
import socket
from pathlib import Path

from gridward.cli.serve import _listening
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
