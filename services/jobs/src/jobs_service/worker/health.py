"""Serves GET /livez and GET /readyz from a separate thread.

So a blocked event loop can be reported: an endpoint on that loop could only time out. /livez checks the loop only,
because a restart fixes no database. /readyz reports whether the worker is running jobs, or why it isn't.
"""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6

import structlog

from headrace.chassis.settings import split_address

log = structlog.get_logger()


class WorkerHealth:
    """The health endpoints.

    Args:
        address: Where to listen, "host:port"; port 0 means a free one.
        loop_lag: Returns how many seconds ago the event loop last ran; called from another thread.
        stall_limit: How long the loop may be blocked.
        waiting_for: Returns what the worker waits for, None if it is ready; called from another thread.
    """

    def __init__(
        self,
        address: str,
        *,
        loop_lag: Callable[[], float],
        stall_limit: timedelta,
        waiting_for: Callable[[], str | None],
    ) -> None:
        self._address = address
        self._loop_lag = loop_lag
        self._stall_limit = stall_limit.total_seconds()
        self._waiting_for = waiting_for
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> int:
        """Starts the server and returns its port.

        Raises:
            OSError: The address can't be bound.
        """
        host, port = split_address(self._address)
        server = _Server6 if ":" in host else _Server
        self._server = server((host, port), _handler_of(self))
        port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        log.info("listening", name="health", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        return port

    def stop(self) -> None:
        """Stops the server. Blocks until its thread has stopped, at most half a second."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def response(self, path: str) -> tuple[int, dict[str, object]]:
        """Returns the status and the JSON for a path."""
        if path == "/livez":
            lag = self._loop_lag()
            alive = lag <= self._stall_limit
            return (200 if alive else 503), {"status": "ok" if alive else "stalled", "loop_lag_s": round(lag, 3)}
        if path == "/readyz":
            waiting = self._waiting_for()
            if waiting is None:
                return 200, {"status": "ok"}
            return 503, {"status": "not ready", "reason": waiting}
        return 404, {"status": "not found", "paths": ["/livez", "/readyz"]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = AF_INET6


def _handler_of(health: WorkerHealth) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # a client that sends nothing must not occupy a thread

        def do_GET(self) -> None:
            status, content = health.response(self.path.partition("?")[0])
            body = json.dumps(content).encode() + b"\n"
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing: probes come every few seconds."""

    return Handler
