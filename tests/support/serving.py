"""An app behind a real socket on loopback, in a thread of this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI


class _Server(uvicorn.Server):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = threading.Event()

    async def startup(self, sockets: "list[object] | None" = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        self.begun.set()


@contextmanager
def served(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Serve the app until the block ends, on a free port unless one is named; gives its URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="on")
    server = _Server(config)
    thread = threading.Thread(target=server.run, name="served")
    thread.start()
    try:
        assert server.begun.wait(30)
        bound = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{bound}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
