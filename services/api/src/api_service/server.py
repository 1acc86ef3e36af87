"""api-server: runs the service.

Three listeners (public gRPC, gRPC for workers, HTTP) and the outbox relay in one process, over one pool of connections.
It starts whether or not Postgres and the jobs service are there, and its probes report what is unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from api_service.auth.passwords import Passwords
from api_service.database import Database
from api_service.outbox import outbox
from api_service.settings import ApiSettings
from api_service.web.probes import Readiness
from api_service.wiring.service import Listeners
from headrace.chassis.lifecycle import run_until_signal
from headrace.chassis.rpc.client import open_channel
from headrace.chassis.settings import load
from headrace.chassis.telemetry.logs import start_logging
from headrace.chassis.telemetry.tracing import start_telemetry
from headrace.chassis.tls.certificates import require_usable
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from headrace.outbox import Relay


@dataclass(frozen=True, slots=True)
class Ports:
    """The addresses of a running service."""

    grpc: int
    worker_grpc: int
    http: int


async def serve(
    settings: ApiSettings, stop: asyncio.Event, *, listening: Callable[[Ports], None] = lambda _ports: None
) -> None:
    """Serves until `stop` is set, then lets calls in progress finish within the drain timeout.

    Args:
        settings: See `ApiSettings`.
        stop: Stops the service.
        listening: Called once all three listeners accept calls.

    Raises:
        OSError, RuntimeError: The service can't listen on an address.
    """
    grace = settings.api_drain_timeout.total_seconds()
    async with AsyncExitStack() as ending:
        database = Database(
            settings.api_database_url.get_secret_value(),
            pool_size=settings.api_database_pool_size,
            timeout=settings.api_database_timeout,
        )
        ending.push_async_callback(database.dispose)
        channel = open_channel(
            settings.api_jobs_target, token=settings.api_jobs_token.get_secret_value(), tls=settings.jobs_tls
        )
        ending.push_async_callback(channel.close)
        passwords = Passwords(threads=settings.api_hash_threads, waiting=settings.api_hash_waiting)
        ending.callback(passwords.close)
        jobs = JobsServiceStub(channel)
        readiness = Readiness(database, channel)
        parts = Listeners(settings, database=database, passwords=passwords, jobs=jobs, readiness=readiness)
        ending.push_async_callback(parts.close)

        async def announce(ready: bool) -> None:
            await parts.public.set_serving(ready)
            await parts.workers.set_serving(ready)

        ports = Ports(
            grpc=await parts.public.start(), worker_grpc=await parts.workers.start(), http=await parts.http.start()
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Relay(database.engine, outbox, jobs).run(stop), name="relay")
            tasks.create_task(readiness.watch(stop, announce), name="readiness")
            listening(ports)
            await stop.wait()
            await asyncio.gather(*(server.stop(grace) for server in (parts.public, parts.workers, parts.http)))


def main() -> None:
    """The console script."""
    start_logging()
    settings = load(ApiSettings)
    require_usable("API_JOBS_TLS_*", settings.jobs_tls)
    require_usable("API_WORKER_GRPC_TLS_*", settings.worker_grpc_tls)
    telemetry = start_telemetry("api")
    try:
        run_until_signal(lambda stop: serve(settings, stop))
    finally:
        telemetry.shutdown()
