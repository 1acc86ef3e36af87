"""An HTTP server in the program's event loop; the program, not uvicorn, decides when it stops."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn

from headrace.chassis.settings import split_address
from headrace.redaction import begin_redaction

log = structlog.get_logger()


class HttpServer:
    """Serves an ASGI application at an address ("host:port"; port 0 means a free one)."""

    def __init__(self, app: Any, address: str, *, name: str = "http") -> None:
        self._address = address
        self._name = name
        config = uvicorn.Config(
            _veiling(app),
            log_config=None,
            log_level="warning",  # this class logs its start and stop itself
            access_log=False,
            lifespan="off",
            server_header=False,
        )
        self._server = _EmbeddedServer(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Starts serving and returns the port.

        Raises:
            OSError: The server can't listen on the address.
        """
        host, port = split_address(self._address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        listener.setblocking(False)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name=f"{self._name} server")
        await self._server.up.wait()
        port = int(listener.getsockname()[1])
        log.info("listening", name=self._name, address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        return port

    async def stop(self, grace: float) -> None:
        """Accepts no new requests, lets those in progress finish within `grace` seconds, and stops."""
        if self._serving is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace))
        self._server.should_exit = True
        await self._serving


def _veiling(app: Any) -> Any:
    """Gives each request its own set of redacted values, which apply to its log lines and spans."""

    async def redacted(scope: Any, receive: Any, send: Any) -> None:
        begin_redaction()
        await app(scope, receive, send)

    return redacted


class _EmbeddedServer(uvicorn.Server):
    """uvicorn's server, without its signal handlers, that reports when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
