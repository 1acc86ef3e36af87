"""Requeues events whose job ended before they were done.

A job's retries last for minutes, but an outage of Stripe may last for hours, so the reconciler calls this regularly. It
looks up each open event's job at the jobs service, and acts only on what that returns.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import structlog
from sqlalchemy import select, tuple_

from api_service.billing.inbox import Inbox
from api_service.billing.models import RECEIVED, InboxEvent
from api_service.database import Database
from headrace.jobs.v1 import job_pb2, jobs_service_pb2
from headrace.outbox import Outbox

if TYPE_CHECKING:
    from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceAsyncStub

log = structlog.get_logger()

_PAGE = 100
_ASKED_AT_ONCE = 8
_CALL_TIMEOUT = timedelta(seconds=5)
_BUDGET = timedelta(seconds=20)
"""How long one call runs. The next call does the rest; each row it has handled stays handled."""

_ENDED = frozenset(
    {
        job_pb2.JOB_STATE_COMPLETED,
        job_pb2.JOB_STATE_CANCELLED,
        job_pb2.JOB_STATE_DISCARDED,
        job_pb2.JOB_STATE_QUARANTINED,
    }
)
"""The final states of a job. An unknown state counts as live."""


class JobsServiceAwayError(Exception):
    """The jobs service is unavailable, so the job's state is unknown."""


@dataclass(frozen=True, slots=True)
class _Open:
    """An event that is not done, as it was read.

    Attributes:
        job_id: The job of its current generation; None if its outbox row has been deleted since it was sent.
    """

    id: UUID
    received_at: datetime
    event_id: str
    generation: int
    job_id: str | None


class Requeue:
    """Finds and requeues stuck events. Any number of replicas may do so at once; one of them gets each event."""

    def __init__(self, database: Database, inbox: Inbox, outbox: Outbox, jobs: "JobsServiceAsyncStub") -> None:
        self._database = database
        self._inbox = inbox
        self._outbox = outbox
        self._jobs = jobs

    async def run(self) -> int:
        """Requeues, under a new generation, every open event whose job has finished or no longer exists.

        It skips events whose outbox row has not been sent yet (the relay will send it, or an operator, if it is
        parked), events whose job is live, and all remaining events if the jobs service is unavailable.

        Returns:
            How many were requeued.

        Raises:
            DatabaseUnavailableError: Events requeued before stay so.
        """
        ends_at = asyncio.get_running_loop().time() + _BUDGET.total_seconds()
        handed_over = 0
        after: _Open | None = None
        while asyncio.get_running_loop().time() < ends_at:
            page = await self._page(after)
            if not page:
                break
            after = page[-1]
            stuck = await self._stuck(page)
            if stuck is None:
                break
            for row in stuck:
                handed_over += await self._hand_over(row)
        return handed_over

    async def _page(self, after: _Open | None) -> list[_Open]:
        """Returns the next open events that were sent to the jobs service, oldest first, by stripe_inbox_open_idx."""
        sent = self._outbox.table
        place = tuple_(InboxEvent.received_at, InboxEvent.id)
        rows = (
            select(InboxEvent.id, InboxEvent.received_at, InboxEvent.event_id, InboxEvent.generation, sent.c.job_id)
            .outerjoin(sent, sent.c.id == InboxEvent.outbox_id)
            .where(InboxEvent.state == RECEIVED, sent.c.id.is_(None) | sent.c.sent_at.is_not(None))
            .order_by(InboxEvent.received_at, InboxEvent.id)
            .limit(_PAGE)
        )
        if after is not None:
            rows = rows.where(place > (after.received_at, after.id))
        async with self._database.transaction() as session:
            return [_Open(*row) for row in await session.execute(rows)]

    async def _stuck(self, page: Sequence[_Open]) -> list[_Open] | None:
        """Returns the events of a page whose job is final; None if the jobs service is unavailable."""
        slots = asyncio.Semaphore(_ASKED_AT_ONCE)
        ended: list[_Open] = []

        async def ask(row: _Open) -> None:
            async with slots:
                if row.job_id is None or await self._has_ended(row.job_id):
                    ended.append(row)

        away = False
        try:
            # The first failed call cancels the others, instead of waiting for each one's timeout in turn.
            async with asyncio.TaskGroup() as asking:
                for row in page:
                    asking.create_task(ask(row))
        except* JobsServiceAwayError as group:
            log.warning("stripe events not requeued", reason=str(group.exceptions[0]))
            away = True
        return None if away else ended

    async def _has_ended(self, job_id: str) -> bool:
        asked = jobs_service_pb2.GetJobRequest(job_id=job_id)
        try:
            answer = await self._jobs.GetJob(asked, timeout=_CALL_TIMEOUT.total_seconds())
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return True
            raise JobsServiceAwayError(f"the jobs service returned {error.code().name}: {error.details()}") from error
        return answer.job.state in _ENDED

    async def _hand_over(self, row: _Open) -> bool:
        async with self._database.transaction() as session:
            won = await self._inbox.hand_over_again(session, row.id, after_generation=row.generation)
        if won:
            log.warning("stripe event requeued", event_id=row.event_id, generation=row.generation + 1)
        return won
