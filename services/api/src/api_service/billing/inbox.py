"""The inbox of Stripe's events: adding events, and requeueing stuck ones.

Each event is in the inbox once, however often and by whatever path it arrives, and each generation of it becomes one
job.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

import structlog
from opentelemetry import metrics
from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from stripe import api_version

from api_service.billing.events import Event
from api_service.billing.models import IGNORED, RECEIVED, InboxEvent
from headrace.outbox import Outbox
from saas.jobs.v1.kinds_pb2 import ProcessStripeWebhook

log = structlog.get_logger()
_meter = metrics.get_meter("api_service.billing")
_left_out = _meter.create_counter(
    "headrace.stripe.events_left_out",
    unit="{event}",
    description="Events of another account or mode than the deployment's",
)
_mismatches = _meter.create_counter(
    "headrace.stripe.api_version_mismatches",
    unit="{event}",
    description="Events of another API version than this service's",
)


class EventFilter:
    """Decides whether an event is for this deployment.

    Other events are not added to the inbox, so that they can still be read from Stripe's list of events once a wrong
    setting has been fixed.
    """

    def __init__(self, *, livemode: bool) -> None:
        self._livemode = livemode

    def lets_in(self, event: Event) -> bool:
        """Decides for one event. Counts and logs events that it leaves out, and events of another API version.

        An event of another version is accepted, because only ids of its body are used.
        """
        if event.account or event.livemode != self._livemode:
            reason = "account" if event.account else "livemode"
            _left_out.add(1, {"reason": reason})
            log.warning("stripe event left out: another account or mode", event_id=event.id, reason=reason)
            return False
        if event.api_version != api_version:
            _mismatches.add(1, {"api_version": event.api_version})
            versions = {"theirs": event.api_version, "ours": api_version}
            log.warning("stripe event of another API version: set the endpoint's", event_id=event.id, **versions)
        return True


class Inbox:
    """The inbox; every method works in the caller's transaction."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def put(self, session: AsyncSession, event: Event) -> bool:
        """Adds an event, with its job if it has an effect.

        Returns:
            False if it is already there, and nothing was changed. One of several concurrent callers gets True; the
            others wait for its commit.
        """
        return bool(await self.put_all(session, [event]))

    async def put_all(self, session: AsyncSession, events: Iterable[Event]) -> list[Event]:
        """Adds those events that are not there yet, as `put` does for one, in few statements.

        Concurrent callers may add the same events: all of them go in the order of ids, so they wait for each other but
        never deadlock.

        Returns:
            The events that were added.
        """
        by_place = {(event.livemode, event.id): event for event in events}
        # Most are already there, and looking them up needs no lock, no write and no body.
        place = (InboxEvent.livemode, InboxEvent.event_id)
        there = await session.execute(select(*place).where(tuple_(*place).in_(by_place)))
        known = {(row.livemode, row.event_id) for row in there}
        missing = sorted(by_place.keys() - known)
        if not missing:
            return []
        new = (
            insert(InboxEvent)
            .values([_row(by_place[each]) for each in missing])
            .on_conflict_do_nothing(index_elements=[InboxEvent.livemode, InboxEvent.event_id])
            .returning(InboxEvent.id, InboxEvent.livemode, InboxEvent.event_id)
        )
        put = [(row.id, by_place[row.livemode, row.event_id]) for row in await session.execute(new)]
        for inbox_id, event in put:
            if event.fetches:
                await self._hand_over(session, inbox_id, event.id, generation=1)
        return [event for _, event in put]

    async def hand_over_again(self, session: AsyncSession, inbox_id: UUID, *, after_generation: int) -> bool:
        """Requeues an event under its next generation.

        Returns:
            False, with nothing changed, if it is done, or if its generation has changed because another caller was
            faster.
        """
        stuck = (
            select(InboxEvent.event_id)
            .where(
                InboxEvent.id == inbox_id,
                InboxEvent.generation == after_generation,
                InboxEvent.state == RECEIVED,
            )
            .with_for_update()
        )
        event_id = await session.scalar(stuck)
        if event_id is None:
            return False
        await self._hand_over(session, inbox_id, event_id, generation=after_generation + 1)
        return True

    async def _hand_over(self, session: AsyncSession, inbox_id: UUID, event_id: str, *, generation: int) -> None:
        job = ProcessStripeWebhook(inbox_id=str(inbox_id))
        outbox_id = self._outbox.add(session, job, key=f"{event_id}:{generation}")
        now_in = update(InboxEvent).where(InboxEvent.id == inbox_id)
        await session.execute(now_in.values(generation=generation, outbox_id=outbox_id, enqueued_at=func.now()))


def _row(event: Event) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "livemode": event.livemode,
        "event_id": event.id,
        "type": event.type,
        "api_version": event.api_version,
        "body": event.body,
        "object_type": event.fetches or "",
        "object_id": event.object_id,
        "state": RECEIVED if event.fetches else IGNORED,
        "ignored_because": event.ignored_because,
    }
