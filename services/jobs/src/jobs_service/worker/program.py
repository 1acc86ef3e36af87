"""The program `jobs-worker`: runs the handlers that JOBS_HANDLERS names. Any number of replicas may run.

It connects to the jobs database and serves health probes; any other connection belongs to the handlers. SIGTERM drains
it: it claims no more jobs, and releases those that can't finish in time.
"""

import asyncio
from contextlib import suppress
from typing import cast

import structlog
from opentelemetry.sdk.trace.id_generator import IdGenerator

from headrace.chassis.lifecycle import run_until_signal
from headrace.chassis.settings import load
from headrace.chassis.telemetry.logs import start_logging
from headrace.chassis.telemetry.tracing import start_telemetry
from headrace.queue import (
    AttemptSpanIds,
    Handlers,
    QueueError,
    RetryPolicy,
    Worker,
    WorkerSettings,
    tune_garbage_collector,
)
from jobs_service.kinds import configured
from jobs_service.settings import reject_setting
from jobs_service.worker.handlers import Application, open_application
from jobs_service.worker.health import WorkerHealth
from jobs_service.worker.settings import JobsWorkerSettings

log = structlog.get_logger()


def main() -> None:
    """Runs the worker until SIGTERM or SIGINT."""
    settings = load(JobsWorkerSettings)
    start_logging()
    # Span ids of attempts can be derived, so that the rescuer can write the span of a killed worker's attempt.
    telemetry = start_telemetry("jobs-worker", cast("IdGenerator", AttemptSpanIds()))
    try:
        run_until_signal(lambda stop: work(settings, stop))
    finally:
        telemetry.shutdown()


async def work(settings: JobsWorkerSettings, stop: asyncio.Event) -> None:
    """Runs jobs until `stop` is set, then drains."""
    async with open_application(settings.jobs_handlers, schema=settings.jobs_schema) as application:
        worker = build_worker(settings, application)
        tune_garbage_collector()  # after the imports: what exists now is never collected
        health = WorkerHealth(
            settings.jobs_health_address,
            loop_lag=worker.loop_lag,
            stall_limit=settings.jobs_stall_limit,
            waiting_for=lambda: (
                None if worker.ready else "not registered in the jobs database yet, or stopping: see the log"
            ),
        )
        health.start()
        try:
            await _run_until(worker, stop)
        finally:
            await asyncio.to_thread(health.stop)


def build_worker(settings: JobsWorkerSettings, application: Application) -> Worker:
    """Creates the worker; ends the program with exit code 2 if settings and handlers don't fit together."""
    handlers = _configured(application.handlers, settings)
    queues = handlers.queues
    if unknown := sorted(settings.jobs_queue_slots.keys() - set(queues)):
        reject_setting(
            "JOBS_QUEUE_SLOTS", f"no handler has the queue {', '.join(unknown)}: use one of {', '.join(queues)}"
        )
    worker_settings = WorkerSettings(
        slots=settings.jobs_worker_count,
        queue_slots=settings.jobs_queue_slots,
        enabled=settings.jobs_enabled,
        poll_interval=settings.jobs_poll_interval,
        listen=settings.jobs_listen,
        drain_timeout=settings.jobs_drain_timeout,
        audit_retention=settings.jobs_audit_retention,
    )
    retry = RetryPolicy(base=settings.jobs_retry_base, factor=settings.jobs_retry_factor, cap=settings.jobs_retry_cap)
    try:
        return Worker(
            settings.jobs_database_url,
            handlers,
            settings=worker_settings,
            retry=retry,
            periodic=application.periodic_jobs,
            schema=settings.jobs_schema,
        )
    except (QueueError, TypeError, ValueError) as error:  # a periodic job's payload or schedule, or a middleware
        reject_setting("JOBS_HANDLERS", f"{settings.jobs_handlers} can't be run: {error}")


def _configured(handlers: Handlers, settings: JobsWorkerSettings) -> Handlers:
    """Applies the deployment's defaults and overrides to the kinds of the handlers."""
    kinds = configured((kind.message_class for kind in handlers.kinds), settings)
    if others := sorted(settings.jobs_kind_overrides.keys() - set(kinds.all_names)):
        log.warning("JOBS_KIND_OVERRIDES has kinds that this worker doesn't know; another worker may", kinds=others)
    return handlers.with_kinds(kinds)


async def _run_until(worker: Worker, stop: asyncio.Event) -> None:
    async def stop_worker() -> None:
        await stop.wait()
        worker.stop()

    stopping = asyncio.create_task(stop_worker(), name="stop")
    try:
        await worker.run()
    finally:
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await stopping
