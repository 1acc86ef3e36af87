"""Applies what a worker fetched from Stripe.

One transaction, the caller's, writes everything: the fetch number, the object, the emails about it, and the event as
done. The fetch number is a fencing token: an earlier fetch never overwrites a later one, in whatever order they arrive,
and nothing is applied twice.
"""

from typing import Any
from uuid import UUID

import structlog
from opentelemetry import metrics
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.models import User
from api_service.billing.events import MalformedEventError, parse_object
from api_service.billing.models import DONE, RECEIVED, AppliedObject, Checkout, Customer, InboxEvent, Subscription
from api_service.billing.notices import Notices
from api_service.billing.prices import PriceList
from api_service.billing.subscription import (
    CANCELED,
    CHECKOUT_ID,
    KNOWN,
    USER_ID,
    SubscriptionState,
    id_in,
    read_subscription,
    reference,
)

log = structlog.get_logger()
_alerts = metrics.get_meter("api_service.billing").create_counter(
    "headrace.stripe.alerts", unit="{alert}", description="Events that an operator should look at, by reason"
)


class InboxRowMissingError(LookupError):
    """There is no such row in the inbox."""


class OtherObjectError(ValueError):
    """The fetched object isn't the event's."""


class EventApplier:
    """This service's copy of Stripe's objects."""

    def __init__(self, notices: Notices, prices: PriceList) -> None:
        self._notices = notices
        self._prices = prices

    async def apply(self, session: AsyncSession, *, inbox_id: UUID, sequence: int, object_json: bytes) -> bool:
        """Applies a fetched object and marks the event done.

        Args:
            session: The caller's transaction.
            inbox_id: The event in the inbox.
            sequence: The number that was drawn before the fetch.
            object_json: The object as Stripe returned it; empty if Stripe no longer has it.

        Returns:
            Whether the object was applied; False if the same or a later fetch of it was applied before. The event is
            done either way.

        Raises:
            InboxRowMissingError: There is no such event.
            OtherObjectError: The object is another one.
            MalformedEventError: The object can't be read.
        """
        # All transactions lock in this order: the event's row, then the object's fence.
        event = await session.get(InboxEvent, inbox_id, with_for_update=True)
        if event is None:
            raise InboxRowMissingError(f"the inbox has no row {inbox_id}")
        fetched = _read(event, object_json)
        applied = event.object_type != "" and await _pass_fence(session, event, sequence)
        if applied:
            await self._write(session, event, fetched)
        if event.state == RECEIVED:
            event.state = DONE
            event.done_at = func.now()
        return applied

    async def _write(self, session: AsyncSession, event: InboxEvent, fetched: dict[str, Any] | None) -> None:
        match event.object_type, fetched:
            case "subscription", None:
                await self._end_subscription(session, event.object_id)
            case "subscription", dict():
                await self._write_subscription(session, fetched)
            case "checkout.session", dict():
                await _write_checkout(session, fetched)
            case "invoice", dict():
                await self._write_invoice(session, fetched)
            case _:
                log.info("stripe no longer has the object", event_id=event.event_id, object_id=event.object_id)

    async def _write_subscription(self, session: AsyncSession, fetched: dict[str, Any]) -> None:
        standing = read_subscription(fetched)
        self._alert(standing)
        user = await _owner(session, standing.customer_id, fetched.get("metadata"))
        # This transaction holds the fence's lock, so no other one writes this row.
        kept = await session.get(Subscription, standing.id)
        if kept is None:
            kept = Subscription(id=standing.id)
            session.add(kept)
        if not standing.is_past_due:
            kept.past_due_since = None
        elif kept.past_due_since is None:
            kept.past_due_since = func.now()
        kept.customer_id = standing.customer_id
        kept.user_id = user.id if user else kept.user_id
        kept.status = standing.status
        kept.prices = list(standing.prices)
        kept.current_period_start = standing.current_period_start
        kept.current_period_end = standing.current_period_end
        kept.cancel_at_period_end = standing.cancel_at_period_end
        kept.created_at = standing.created_at
        kept.updated_at = func.now()
        if standing.has_begun:
            renews = None if standing.cancel_at_period_end else standing.current_period_end
            told = {"renews_on": renews.date().isoformat() if renews else ""}
            await self._notices.post_once(session, user, "subscription_active", about=standing.id, parameters=told)
        if standing.status == CANCELED:
            await self._notice_end(session, user, standing.id)

    async def _end_subscription(self, session: AsyncSession, subscription_id: str) -> None:
        """Records that Stripe has no such subscription, so that it gives no access.

        The user gets no email about it. Stripe keeps ended subscriptions, so a missing one is more likely an operator's
        mistake (the secret key of another account), and an email can't be undone.
        """
        _alerts.add(1, {"reason": "subscription_missing"})
        log.error("stripe has no such subscription; no access", id=subscription_id)
        kept = await session.get(Subscription, subscription_id)
        if kept is not None:
            kept.status, kept.past_due_since, kept.updated_at = CANCELED, None, func.now()

    async def _notice_end(self, session: AsyncSession, user: User | None, subscription_id: str) -> None:
        if await self._notices.was_posted(session, "subscription_active", about=subscription_id):
            await self._notices.post_once(session, user, "subscription_ended", about=subscription_id, parameters={})

    async def _write_invoice(self, session: AsyncSession, fetched: dict[str, Any]) -> None:
        """Tells the user about a renewal that could not be paid, while it is unpaid. Invoices are not stored."""
        try:
            unpaid = fetched["status"] == "open" and fetched["attempt_count"] > 0
            renewal = fetched["billing_reason"] != "subscription_create"  # the user sees the first one fail
            customer_id = reference(fetched["customer"])
            details = (fetched.get("parent") or {}).get("subscription_details") or {}
            user = await _owner(session, customer_id, details.get("metadata"))
        except (KeyError, TypeError, AttributeError) as error:
            raise MalformedEventError(f"it isn't a valid invoice: {type(error).__name__}: {error}") from error
        if unpaid and renewal:
            await self._notices.post_once(session, user, "payment_failed", about=fetched["id"], parameters={})

    def _alert(self, standing: SubscriptionState) -> None:
        if standing.status not in KNOWN:
            _alerts.add(1, {"reason": "subscription_status"})
            log.error("subscription with an unknown status; no access", id=standing.id, status=standing.status)
        for price in standing.prices:
            if price not in self._prices:
                _alerts.add(1, {"reason": "price"})
                log.error("subscription to a price that STRIPE_PRICES lacks; no access", id=standing.id, price_id=price)


def _read(event: InboxEvent, object_json: bytes) -> dict[str, Any] | None:
    if not object_json:
        return None
    fetched = parse_object(object_json)
    if (fetched.get("object"), fetched.get("id")) != (event.object_type, event.object_id):
        raise OtherObjectError(f"event {event.event_id} is about the {event.object_type} {event.object_id}")
    return fetched


async def _pass_fence(session: AsyncSession, event: InboxEvent, sequence: int) -> bool:
    """Advances the object's fence to this fetch, and holds its lock; False if it is already there or beyond."""
    first = insert(AppliedObject).values(id=event.object_id, type=event.object_type, sequence=sequence)
    moved = first.on_conflict_do_update(
        index_elements=[AppliedObject.id],
        set_={"sequence": sequence, "applied_at": func.now()},
        where=AppliedObject.sequence < sequence,
    ).returning(AppliedObject.id)
    return await session.scalar(moved) is not None


async def _owner(session: AsyncSession, customer_id: str, metadata: Any) -> User | None:
    """Returns the user of a Stripe customer: the one it was created for, or else the one in its metadata."""
    made_for = select(User).join(Customer, Customer.user_id == User.id).where(Customer.stripe_id == customer_id)
    owner = await session.scalar(made_for)
    named = id_in(metadata, USER_ID)
    if owner is None and named is not None:
        owner = await session.get(User, named)
    if owner is None:
        log.warning("stripe customer without a user", customer_id=customer_id)
    return owner


async def _write_checkout(session: AsyncSession, fetched: dict[str, Any]) -> None:
    """Finds the checkout by its id in the metadata: Stripe's response with the session's id may have been lost."""
    checkout_id = id_in(fetched.get("metadata"), CHECKOUT_ID)
    status = fetched.get("status")
    if checkout_id is None or not isinstance(status, str):
        return
    known = {"session_id": fetched["id"], "status": status}
    await session.execute(update(Checkout).where(Checkout.id == checkout_id).values(known))
