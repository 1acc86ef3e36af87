"""Billing's part of WorkerSupport: what the handlers of ProcessStripeWebhook and ReconcileStripe call."""

from uuid import UUID

import structlog

from api_service.billing.event_applier import EventApplier, InboxRowMissingError
from api_service.billing.events import MalformedEventError, parse_event
from api_service.billing.inbox import EventFilter, Inbox
from api_service.billing.models import FETCH_SEQUENCE, RECEIVED, InboxEvent
from api_service.billing.requeue import Requeue
from api_service.database import Database
from saas.jobs.v1 import worker_support_pb2 as pb

log = structlog.get_logger()

_TOGETHER = 20
"""How many events are recorded in one transaction: another one with the same events waits for all of them."""


class StripeWorkerCalls:
    """Returns the four calls about Stripe; the contract says what each guarantees."""

    def __init__(
        self, database: Database, inbox: Inbox, books: EventApplier, requeue: Requeue, filter_: EventFilter
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._books = books
        self._requeue = requeue
        self._filter = filter_

    async def draw_fetch_sequence(self, request: pb.DrawFetchSequenceRequest) -> pb.DrawFetchSequenceResponse:
        """Draws a number, and returns what to fetch under it.

        Raises:
            InboxRowMissingError: There is no such event.
            DatabaseUnavailableError: Retrying is safe.
        """
        # Returns after the commit: only then can't the number be drawn again after a crash of the database.
        async with self._database.transaction() as session:
            event = await session.get(InboxEvent, UUID(request.inbox_id))
            if event is None:
                raise InboxRowMissingError(f"the inbox has no row {request.inbox_id}")
            sequence = await session.scalar(FETCH_SEQUENCE)
        return pb.DrawFetchSequenceResponse(
            sequence=sequence,
            event_id=event.event_id,
            event_type=event.type,
            object_type=event.object_type,
            object_id=event.object_id if event.object_type else "",
            done=event.state != RECEIVED,
        )

    async def apply_event(self, request: pb.ApplyStripeEventRequest) -> pb.ApplyStripeEventResponse:
        """Applies what was fetched.

        Raises:
            InboxRowMissingError, OtherObjectError, MalformedEventError: As `Books.apply`.
            DatabaseUnavailableError: Retrying is safe.
        """
        async with self._database.transaction() as session:
            applied = await self._books.apply(
                session,
                inbox_id=UUID(request.inbox_id),
                sequence=request.sequence,
                object_json=request.object_json,
            )
        return pb.ApplyStripeEventResponse(applied=applied)

    async def record_events(self, request: pb.RecordStripeEventsRequest) -> pb.RecordStripeEventsResponse:
        """Adds listed events to the inbox, as the webhook does.

        Any number of callers may send the same events at once: they wait for each other's transactions, which are
        short, and never deadlock.

        Raises:
            DatabaseUnavailableError: Events recorded before stay recorded; retrying is safe.
        """
        events = []
        for body in request.events_json:
            try:
                event = parse_event(body)
            except MalformedEventError as error:
                # An unreadable event must not block the others.
                log.exception("listed stripe event left out", reason=str(error))
                continue
            if self._filter.lets_in(event):
                events.append(event)
        recorded = 0
        for start in range(0, len(events), _TOGETHER):
            async with self._database.transaction() as session:
                new = await self._inbox.put_all(session, events[start : start + _TOGETHER])
            recorded += len(new)
            for event in new:
                log.info("stripe event recorded whose webhook did not arrive", event_id=event.id, type=event.type)
        return pb.RecordStripeEventsResponse(recorded=recorded)

    async def requeue_events(self, _request: pb.RequeueStripeEventsRequest) -> pb.RequeueStripeEventsResponse:
        """Requeues stuck events; see `Requeue.run`."""
        return pb.RequeueStripeEventsResponse(requeued=await self._requeue.run())
