"""The program `jobs-server`: serves JobsService over gRPC, for the kinds in JOBS_KINDS. It runs no jobs."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import structlog

from headrace.chassis.http.server import HttpServer
from headrace.chassis.lifecycle import run_until_signal
from headrace.chassis.rpc.server import GrpcServer
from headrace.chassis.settings import load
from headrace.chassis.telemetry.logs import start_logging
from headrace.chassis.telemetry.tracing import start_telemetry
from headrace.chassis.tls.certificates import require_usable
from headrace.chassis.tls.watched_files import Signature, file_signature
from headrace.jobs.v1 import jobs_service_pb2_grpc
from headrace.queue import Enqueuer, Kinds, Limits, tune_garbage_collector
from jobs_service.callers.caller import SERVICE, Callers
from jobs_service.callers.file import load_callers, watch_callers
from jobs_service.callers.interceptor import AdmissionInterceptor
from jobs_service.convert.errors import TRANSLATIONS
from jobs_service.database import Database
from jobs_service.enqueue.queue_depth import QueueDepthLimits
from jobs_service.kinds import load_kinds
from jobs_service.rpc.enqueue import SELF_VALIDATING
from jobs_service.rpc.servicer import JobsServicer
from jobs_service.server.health import ServerHealth
from jobs_service.server.kind_registration import register
from jobs_service.server.readiness import watch_readiness
from jobs_service.server.settings import JobsServerSettings

log = structlog.get_logger()


class JobsServer:
    """The server. Entering starts it; leaving rejects new calls and waits for calls in progress."""

    def __init__(
        self, settings: JobsServerSettings, callers: Callers, kinds: Kinds, *, callers_seen: Signature | None = None
    ) -> None:
        """`callers_seen` is the signature of the callers file before it was read. If unset, the file is not watched."""
        self.port = 0
        """The port that it listens on, once entered."""
        self.health_port = 0
        """The port of the HTTP health endpoints, once entered, if there are any."""
        self._health = ServerHealth()
        self._health_address = settings.jobs_server_health_address
        self._callers = callers
        self._callers_file = settings.jobs_callers_file
        self._callers_seen = callers_seen
        self._kinds = kinds
        self._drain_seconds = settings.jobs_drain_timeout.total_seconds()
        self._database = Database(
            settings.jobs_database_url,
            schema=settings.jobs_schema,
            pool_size=settings.jobs_pool_size,
            waiting=settings.jobs_pool_waiting,
            timeout=settings.jobs_database_timeout,
        )
        enqueuer = Enqueuer(
            kinds,
            limits=Limits(payload_bytes=settings.jobs_payload_limit, batch=settings.jobs_batch_limit),
            hash_keys=settings.jobs_hash_keys,
            schema=settings.jobs_schema,
        )
        self._grpc = GrpcServer(
            address=settings.jobs_grpc_address,
            tls=settings.tls,
            interceptors=[AdmissionInterceptor(callers)],
            translations=TRANSLATIONS,
            self_validating=SELF_VALIDATING,
            max_receive_bytes=settings.jobs_request_limit,
            max_connection_age=settings.jobs_grpc_max_connection_age,
        )
        servicer = JobsServicer(
            enqueuer, self._database, callers, QueueDepthLimits(settings.jobs_queue_depths, self._database)
        )
        self._grpc.add(jobs_service_pb2_grpc.add_JobsServiceServicer_to_server, servicer, SERVICE.full_name)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._database)
            if self._health_address is not None:
                http = HttpServer(self._health.app, self._health_address, name="health")
                self.health_port = await http.start()
                stack.push_async_callback(http.stop, 1)
            self.port = await self._grpc.start()
            stack.push_async_callback(self._grpc.stop, self._drain_seconds)
            stack.push_async_callback(self._announce, False)
            watching = asyncio.create_task(watch_readiness(self._database, self._announce), name="readiness")
            stack.push_async_callback(_cancel, watching)
            registering = asyncio.create_task(register(self._database, self._kinds), name="kinds")
            stack.push_async_callback(_cancel, registering)
            if self._callers_seen is not None:
                rereading = watch_callers(self._callers_file, self._callers, since=self._callers_seen)
                stack.push_async_callback(_cancel, asyncio.create_task(rereading, name="callers file"))
            self._stack = stack.pop_all()
        return self

    async def _announce(self, ready: bool) -> None:
        self._health.ready = ready
        await self._grpc.set_serving(ready)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._stack.aclose()


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> None:
    """Runs the server until SIGTERM or SIGINT."""
    settings = load(JobsServerSettings)
    require_usable("JOBS_GRPC_TLS_*", settings.tls)
    callers_seen = file_signature(settings.jobs_callers_file)
    callers = load_callers(settings.jobs_callers_file)
    kinds = load_kinds(settings.jobs_kinds, settings)
    start_logging()
    telemetry = start_telemetry("jobs-server")

    async def serve(stop: asyncio.Event) -> None:
        async with JobsServer(settings, callers, kinds, callers_seen=callers_seen):
            tune_garbage_collector()
            await stop.wait()

    try:
        run_until_signal(serve)
    finally:
        telemetry.shutdown()
