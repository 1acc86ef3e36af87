"""A gRPC server that restarts when the loop in which gRPC accepts calls has ended.

grpc.aio decodes the name of a called method as UTF-8 in that loop, so one call whose name isn't UTF-8 ends it. Any
client can send such a call, without a token. gRPC then closes the port for good, while the process goes on. Here a new
server takes over the port within moments, calls in progress on the old one finish, and clients reconnect.
"""

import asyncio
from collections.abc import Callable

import grpc.aio
import structlog

from headrace.chassis.tls.certificates import CertificatesError

log = structlog.get_logger()

LOOK = 0.1
"""How often the loop is checked, in seconds: gRPC doesn't report its end."""
CERTIFICATES = 1.0
"""How often unusable certificates are checked again, in seconds."""
GRACE = 30.0
"""How long calls in progress on a server whose loop has ended may take, in seconds."""


class RestartingServer:
    """Serves a port from `start` to `stop`."""

    def __init__(self, make: Callable[[int], tuple[grpc.aio.Server, int]]) -> None:
        """Prepares a server.

        Args:
            make: Returns a server that isn't started, and its port: the given one, or any free one for 0. Raises
                RuntimeError if the port is in use, and CertificatesError if its certificates can't be used.
        """
        self._make = make
        self._server: grpc.aio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ending: dict[grpc.aio.Server, asyncio.Task[None]] = {}

    async def start(self) -> int:
        """Starts serving, and returns the port.

        Raises:
            RuntimeError: The server can't listen on the address.
            CertificatesError: See `ServerTls`.
        """
        self._server, port = self._make(0)
        await self._server.start()
        self._watch = asyncio.create_task(self._stand(self._server, port))
        return port

    async def stop(self, grace: float) -> None:
        """Accepts no new calls, lets those in progress finish within `grace` seconds, and stops."""
        if self._watch is None or self._server is None:
            return
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        await asyncio.gather(*(server.stop(grace) for server in (self._server, *self._ending)))
        await asyncio.gather(*self._ending.values())

    async def _stand(self, server: grpc.aio.Server, port: int) -> None:
        while True:
            try:
                while await server.wait_for_termination(LOOK):
                    pass
            except Exception:  # whatever ended the loop, the port is closed
                log.exception("the gRPC server failed and is being replaced", port=port)
            else:
                return
            self._end(server)
            server = self._server = await self._replacement(port)

    def _end(self, server: grpc.aio.Server) -> None:
        self._ending[server] = asyncio.create_task(server.stop(GRACE))
        self._ending[server].add_done_callback(lambda _: self._ending.pop(server))

    async def _replacement(self, port: int) -> grpc.aio.Server:
        while True:
            try:
                server, _ = self._make(port)
            except RuntimeError:  # the old server has not released the port yet
                await asyncio.sleep(LOOK)
                continue
            except CertificatesError as refused:  # its files are being replaced
                log.error(
                    "certificates refused, the port stays closed until they are valid", port=port, reason=str(refused)
                )
                await asyncio.sleep(CERTIFICATES)
                continue
            await server.start()
            return server
