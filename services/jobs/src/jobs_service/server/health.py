"""GET /livez and GET /readyz of the server, over plain HTTP: for probes that can't speak gRPC with TLS.

They say what gRPC health says as "liveness" and "readiness". They are answered by the event loop itself, so that a loop
that stands still is silent, and its probe times out.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class ServerHealth:
    """What the probes are answered; `app` answers them."""

    def __init__(self) -> None:
        self.ready = False
        self.app: Any = Starlette(routes=[Route("/livez", self._livez), Route("/readyz", self._readyz)])

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _readyz(self, _request: Request) -> Response:
        if self.ready:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "not ready", "reason": "Postgres does not answer: see the log"}, 503)
