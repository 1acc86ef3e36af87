"""The program `jobs-worker`: the engine's worker with the product's handlers. Any number of replicas may run.

It holds connections to Postgres (jobs), the api's listener for workers, the mail server and Stripe, and listens for
health probes only. SIGTERM drains it: nothing new is claimed, and what can't end in time is handed back.
"""

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from typing import cast

from opentelemetry.sdk.trace.id_generator import IdGenerator

from headrace.chassis.lifecycle import run_until_signal
from headrace.chassis.rpc.client import CarriedContext, open_channel
from headrace.chassis.settings import USAGE_ERROR, format_duration, load
from headrace.chassis.telemetry.logs import start_logging
from headrace.chassis.telemetry.tracing import start_telemetry
from headrace.chassis.tls.certificates import require_usable
from headrace.queue import (
    AttemptSpanIds,
    Kinds,
    Periodic,
    RetryPolicy,
    Worker,
    WorkerSettings,
    tune_garbage_collector,
)
from jobs_service.handlers import MAIL_KINDS, build_handlers
from jobs_service.kinds import build_kinds
from jobs_service.mail_sender import MailSender, MailServer
from jobs_service.stripe_reader import StripeReader
from jobs_service.worker.health import WorkerHealth
from jobs_service.worker.settings import JobsWorkerSettings
from saas.jobs.v1.kinds_pb2 import ReconcileStripe
from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportStub


def main() -> None:
    """Runs the worker until SIGTERM or SIGINT."""
    settings = load(JobsWorkerSettings)
    require_usable("JOBS_API_TLS_*", settings.api_tls)
    kinds = build_kinds(settings)
    check_against_kinds(settings, kinds)
    start_logging()
    tune_garbage_collector()
    # The ids of attempts' spans can be derived, so that a rescuer can write the span of a worker that was killed.
    telemetry = start_telemetry("jobs-worker", cast("IdGenerator", AttemptSpanIds()))
    try:
        run_until_signal(lambda stop: work(settings, kinds, stop))
    finally:
        telemetry.shutdown()


def check_against_kinds(settings: JobsWorkerSettings, kinds: Kinds) -> None:
    """Ends the program with exit code 2 when settings don't go with the kinds that there are."""
    complaints = []
    if unknown := sorted(settings.jobs_queue_slots.keys() - set(kinds.queues)):
        complaints.append(f"JOBS_QUEUE_SLOTS: {', '.join(unknown)}: no such queue; there are {', '.join(kinds.queues)}")
    shortest = min((kinds[message.DESCRIPTOR.full_name] for message in MAIL_KINDS), key=lambda kind: kind.timeout)
    if settings.smtp_timeout >= shortest.timeout:
        complaints.append(
            f"SMTP_TIMEOUT: expected less than the {format_duration(shortest.timeout)} that an attempt of "
            f"{shortest.name} may take; got {format_duration(settings.smtp_timeout)}"
        )
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
        raise SystemExit(USAGE_ERROR)


async def work(settings: JobsWorkerSettings, kinds: Kinds, stop: asyncio.Event) -> None:
    """Works until told to stop, and drains."""
    async with AsyncExitStack() as stack:
        channel = open_channel(
            settings.jobs_api_target,
            token=settings.jobs_api_token.get_secret_value(),
            tls=settings.api_tls,
            # A worker may be killed in the middle of a call; the attempt's own span is written even then.
            carried=CarriedContext.CALLER,
        )
        stack.push_async_callback(channel.close)
        stripe = StripeReader(settings.stripe_secret_key.get_secret_value(), base=settings.stripe_api_base)
        stack.push_async_callback(stripe.close)
        handlers = build_handlers(
            kinds,
            api=WorkerSupportStub(channel),
            sender=MailSender(_mail_server(settings), timeout=settings.smtp_timeout),
            stripe=stripe,
            reconcile_every=settings.jobs_reconcile_every,
        )
        worker = Worker(
            settings.jobs_database_url,
            handlers,
            settings=WorkerSettings(
                slots=settings.jobs_worker_count,
                queue_slots=settings.jobs_queue_slots,
                enabled=settings.jobs_enabled,
                poll_interval=settings.jobs_poll_interval,
                listen=settings.jobs_listen,
                drain_timeout=settings.jobs_drain_timeout,
                audit_retention=settings.jobs_audit_retention,
            ),
            retry=RetryPolicy(
                base=settings.jobs_retry_base, factor=settings.jobs_retry_factor, cap=settings.jobs_retry_cap
            ),
            periodic=[Periodic("reconcile-stripe", every=settings.jobs_reconcile_every, payload=ReconcileStripe())],
        )
        health = WorkerHealth(
            settings.jobs_health_address,
            loop_lag=worker.loop_lag,
            stall_limit=settings.jobs_stall_limit,
            waiting_for=lambda: (
                None if worker.ready else "not registered in the jobs database yet, or stopping: see the log"
            ),
        )
        health.start()
        stack.push_async_callback(asyncio.to_thread, health.stop)
        await _run_until(worker, stop)


async def _run_until(worker: Worker, stop: asyncio.Event) -> None:
    async def stop_when_told() -> None:
        await stop.wait()
        worker.stop()

    watching = asyncio.create_task(stop_when_told(), name="stop")
    try:
        await worker.run()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _mail_server(settings: JobsWorkerSettings) -> MailServer:
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        starttls=settings.smtp_starttls,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        idempotency_header=settings.smtp_idempotency_header,
    )
