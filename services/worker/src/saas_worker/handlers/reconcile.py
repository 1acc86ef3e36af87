"""Compares Stripe's own list of events with the api's inbox, and hands over again what is not done.

It repairs webhooks that never came, and rows whose job was given up during a long outage. Every run reads the last
day, then further back for as long as it finds something new; the first run of each day (UTC) reads all that Stripe
keeps, so that a gap between known events is found too, whatever caused it.

In one process one runs at a time, however many are asked for: each would read the same list and write the same rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from headrace.queue import Done, Outcome, RunningJob, Snooze
from jobs_service.stripe_reader import StripeReader
from saas.jobs.v1.kinds_pb2 import ReconcileStripe
from saas.jobs.v1.worker_support_pb2 import RecordStripeEventsRequest, RequeueStripeEventsRequest

if TYPE_CHECKING:  # the generated code has this class in its types only
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub

log = structlog.get_logger()

KEPT = timedelta(days=30)
"""How far back Stripe lists events (https://docs.stripe.com/api/events)."""
OVERLAP = timedelta(days=1)
_BATCH_BYTES = 2 * 1024 * 1024
"""The most that one call carries; half of what a gRPC server takes by default."""
_REQUEUEING = 30.0
"""Seconds of the job's time that are kept for handing over again."""
_ANOTHER_RUNS = timedelta(seconds=3)
"""When a job that finds another one running comes back."""


class Reconcile:
    """The handler.

    Args:
        api: The api's side.
        stripe: The way to Stripe.
        every: How often it runs.
        clock: Answers the time in seconds since the epoch.
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
        """Reads, records, hands over again; of jobs that ask for it at once, one for all.

        A job that finds another one running gives its slot back and comes again later. It is done without a run of its
        own once a run has been completed that began after it had asked.

        Raises:
            StripeUnavailableError, StripeRejectedError, grpc.aio.AioRpcError: As `_reconcile`.
        """
        if job.id in self._served:
            log.info("stripe events reconciled by a run that began since this one was asked for")
            return Done()
        if self._running:
            log.info("another reconcile is running; this one comes again", seconds=_ANOTHER_RUNS.total_seconds())
            self._waiting.add(job.id)
            return Snooze(_ANOTHER_RUNS)
        asked, self._waiting = self._waiting, set()
        self._running = True
        try:
            await self._reconcile(job)
        finally:
            self._running = False
        self._served = asked
        return Done()

    async def _reconcile(self, job: RunningJob) -> None:
        """One run.

        Raises:
            StripeUnavailableError, StripeRejectedError: Stripe's list could not be read to its end; what was read is
            recorded. grpc.aio.AioRpcError: What the api made of it.
        """
        try:
            read, recorded = await self._record(job.deadline - _REQUEUEING)
        finally:
            # Also when Stripe is away: rows that wait for something else must not wait for it.
            requeued = await self._api.RequeueStripeEvents(RequeueStripeEventsRequest())
            log.info("stripe events handed over again", requeued=requeued.requeued)
        log.info("stripe events reconciled", read=read, recorded=recorded)

    async def _record(self, deadline: float) -> tuple[int, int]:
        now = self._clock()
        recent = now - OVERLAP.total_seconds()
        reads_all = now % timedelta(days=1).total_seconds() < self._every.total_seconds()
        read = recorded = 0
        async for page in self._stripe.events(since=int(now - KEPT.total_seconds())):
            new = 0
            for batch in batches(page.events, _BATCH_BYTES):
                answer = await self._api.RecordStripeEvents(RecordStripeEventsRequest(events_json=batch))
                new += answer.recorded
            read, recorded = read + len(page.events), recorded + new
            if page.oldest < recent and new == 0 and not reads_all:
                break
            if asyncio.get_running_loop().time() >= deadline:
                oldest = datetime.fromtimestamp(page.oldest, UTC).isoformat()
                log.warning("stripe events not read to their end: the job's time is over", read=read, oldest=oldest)
                break
        return read, recorded


def batches(events: list[bytes], limit: int) -> list[list[bytes]]:
    """Splits events, in order, so that none of the parts is larger than the limit in bytes (or is a single event)."""
    parts: list[list[bytes]] = []
    size = limit
    for event in events:
        if not parts or size + len(event) > limit:
            parts.append([])
            size = 0
        parts[-1].append(event)
        size += len(event)
    return parts
