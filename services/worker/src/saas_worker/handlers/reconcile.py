"""Compares Stripe's list of events with the api's inbox, and requeues events that are not applied.

It recovers webhooks that never arrived, and events whose job was discarded during a long outage. Each run reads the
last day, then further back as long as it finds new events. The first run of each day (UTC) reads everything that Stripe
keeps, so that it also finds a gap between known events, whatever caused it.

Only one run at a time is active in a process: each would read the same list and write the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from headrace.queue import Done, Outcome, RunningJob, Snooze
from saas.jobs.v1.kinds_pb2 import ReconcileStripe
from saas.jobs.v1.worker_support_pb2 import RecordStripeEventsRequest, RequeueStripeEventsRequest
from saas_worker.outbound.stripe import StripeReader

if TYPE_CHECKING:  # the generated code defines this class in its type stubs only
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub

log = structlog.get_logger()

KEPT = timedelta(days=30)
"""How far back Stripe lists events (https://docs.stripe.com/api/events)."""
OVERLAP = timedelta(days=1)
_BATCH_BYTES = 2 * 1024 * 1024
"""The largest request; half of what a gRPC server accepts by default."""
_REQUEUEING_SECONDS = 30.0
"""How much of the job's time is reserved for requeuing."""
_SNOOZE = timedelta(seconds=3)
"""How long a job snoozes while another one runs."""


class Reconcile:
    """The handler.

    Args:
        api: The api's methods for workers.
        stripe: The Stripe client.
        every: How often a reconcile job is enqueued.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(
        self,
        api: WorkerSupportAsyncStub,
        stripe: StripeReader,
        *,
        every: timedelta,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._stripe = stripe
        self._every = every
        self._clock = clock
        self._running = False
        self._waiting = set[int]()
        self._served = set[int]()

    async def __call__(self, _: ReconcileStripe, job: RunningJob) -> Outcome:
        """Reads, records and requeues; one run serves all jobs that are due at the same time.

        A job that finds another one running snoozes, which frees its slot. It completes without another run once a
        run has completed that started after its first attempt.

        Raises:
            StripeUnavailableError, StripeRejectedError, grpc.aio.AioRpcError: As `_reconcile`.
        """
        if job.id in self._served:
            log.info("stripe events reconciled by a run that started after this job")
            return Done()
        if self._running:
            log.info("another reconcile is running; this one snoozes", seconds=_SNOOZE.total_seconds())
            self._waiting.add(job.id)
            return Snooze(_SNOOZE)
        asked, self._waiting = self._waiting, set()
        self._running = True
        try:
            await self._reconcile(job)
        finally:
            self._running = False
        self._served = asked
        return Done()

    async def _reconcile(self, job: RunningJob) -> None:
        """Does one run.

        Raises:
            StripeUnavailableError, StripeRejectedError: Stripe's list could not be read completely. The events that
                were read are recorded.
            grpc.aio.AioRpcError: A call to the api failed.
        """
        try:
            read, recorded = await self._record(job)
        finally:
            # Also when Stripe is unavailable: events that wait for another reason must not wait for Stripe.
            requeued = await self._api.RequeueStripeEvents(RequeueStripeEventsRequest())
            log.info("stripe events requeued", requeued=requeued.requeued)
        log.info("stripe events reconciled", read=read, recorded=recorded)

    async def _record(self, job: RunningJob) -> tuple[int, int]:
        now = self._clock()
        recent = now - OVERLAP.total_seconds()
        reads_all = now % timedelta(days=1).total_seconds() < self._every.total_seconds()
        read = recorded = 0
        async for page in self._stripe.events(since=int(now - KEPT.total_seconds())):
            new = 0
            for batch in batches(page.events, _BATCH_BYTES):
                response = await self._api.RecordStripeEvents(RecordStripeEventsRequest(events_json=batch))
                new += response.recorded
            read, recorded = read + len(page.events), recorded + new
            if page.oldest < recent and new == 0 and not reads_all:
                break
            if job.remaining <= _REQUEUEING_SECONDS:
                oldest = datetime.fromtimestamp(page.oldest, UTC).isoformat()
                log.warning("stripe events not read completely: the job has no time left", read=read, oldest=oldest)
                break
        return read, recorded


def batches(events: list[bytes], limit: int) -> list[list[bytes]]:
    """Splits events, in order, into batches of at most `limit` bytes. A larger event gets a separate batch."""
    parts: list[list[bytes]] = []
    size = limit
    for event in events:
        if not parts or size + len(event) > limit:
            parts.append([])
            size = 0
        parts[-1].append(event)
        size += len(event)
    return parts
