"""GET /livez and GET /readyz of the server over plain HTTP, for probes that can't use gRPC with TLS.

They report the same as gRPC health's "liveness" and "readiness". The event loop serves them, so that a probe of a
blocked loop times out.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class ServerHealth:
    """The state that probes read; `app` serves it."""

    def __init__(self) -> None:
        self.ready = False
        self.app: Any = Starlette(routes=[Route("/livez", self._livez), Route("/readyz", self._readyz)])

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _readyz(self, _request: Request) -> Response:
        if self.ready:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "not ready", "reason": "Postgres is unavailable: see the log"}, 503)
