"""Liveness and readiness: /livez, /readyz, and gRPC's health service.

Alive means only that the event loop runs: restarting the service would not bring a database back. Ready means that the
database is available and has the schema that this release needs. The jobs service is reported but not required: its
jobs wait in the outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta

import grpc.aio
import structlog
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from api_service import migrate
from api_service.database import Database, DatabaseUnavailableError, StatementFailedError

log = structlog.get_logger()

CHECK_EVERY = timedelta(seconds=1)
_OK = "ok"
_UNDEFINED_TABLE = "42P01"


@dataclass(frozen=True, slots=True)
class State:
    """The last result."""

    database: str
    jobs: str

    @property
    def ready(self) -> bool:
        """Whether the service can handle calls now."""
        return self.database == _OK


class Readiness:
    """Checks the service's dependencies, and keeps the result."""

    def __init__(self, database: Database, jobs: grpc.aio.Channel) -> None:
        self._database = database
        self._jobs = jobs
        self.state = State(database="not asked yet", jobs="not asked yet")

    async def watch(self, stop: asyncio.Event, announce: Callable[[bool], Awaitable[None]]) -> None:
        """Checks every second until `stop` is set, and calls `announce` on every change."""
        while not stop.is_set():
            before, self.state = self.state, State(database=await self._look_at_database(), jobs=self._look_at_jobs())
            if self.state != before:
                log.info("readiness", ready=self.state.ready, **asdict(self.state))
                await announce(self.state.ready)
            try:
                async with asyncio.timeout(CHECK_EVERY.total_seconds()):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _look_at_database(self) -> str:
        try:
            async with self._database.transaction() as session:
                revision = await session.scalar(text("SELECT version_num FROM alembic_version"))
        except DatabaseUnavailableError:
            return "unavailable"
        except StatementFailedError as error:
            if error.sqlstate != _UNDEFINED_TABLE:
                return f"doesn't allow reading its schema's revision ({error.sqlstate}): was API_DATABASE_ROLE set?"
            revision = None
        if not migrate.serves(revision):
            return f"schema {revision or 'missing'}, {migrate.head()} needed: run api-migrate up"
        return _OK

    def _look_at_jobs(self) -> str:
        state = self._jobs.get_state(try_to_connect=True)
        return _OK if state is grpc.ChannelConnectivity.READY else "not connected; jobs wait in the outbox"

    def routes(self) -> list[Route]:
        """The probes' routes."""
        return [Route("/livez", _alive, methods=["GET"]), Route("/readyz", self._ready, methods=["GET"])]

    async def _ready(self, _request: Request) -> Response:
        state = self.state
        return JSONResponse({"ready": state.ready, **asdict(state)}, 200 if state.ready else 503)


async def _alive(_request: Request) -> Response:
    return PlainTextResponse("ok")
