"""Runs the fake Stripe on a TCP port, in the caller's event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn

from fake_stripe.app import Double, create_app


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 means a free one."""
    listener = socket.create_server((host, port))
    listener.setblocking(False)
    return listener


def address(listener: socket.socket) -> str:
    """The address of a listening socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


class EmbeddedServer(uvicorn.Server):
    """A server that leaves the program's signals to its caller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(double: Double, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves a stand-in for as long as the block runs, and returns its URL."""
    with contextlib.closing(bind(host, port)) as listener:
        double.shop.base = address(listener)
        # A cut connection is on purpose: uvicorn's complaint about it would only alarm.
        config = uvicorn.Config(create_app(double), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        server = EmbeddedServer(config)
        task = asyncio.create_task(server.serve(sockets=[listener]), name="stripe double")
        try:
            yield double.shop.base
        finally:
            server.should_exit = True
            await task
