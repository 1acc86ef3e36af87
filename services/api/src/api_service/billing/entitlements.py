"""An account's subscription status and what it may use now.

Entitlements are derived on each read from the subscriptions, the price list and the time. So a grace period ends by
itself, and there is no second copy that could differ.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api_service.billing.models import Subscription
from api_service.billing.prices import PriceList
from api_service.billing.subscription import has_access

# Of several subscriptions the most important one is shown; an unknown status comes last.
_ORDER = ("active", "trialing", "past_due", "unpaid", "paused", "incomplete", "canceled", "incomplete_expired")


@dataclass(frozen=True, slots=True)
class BillingStanding:
    """An account's billing.

    Attributes:
        subscription_status: Stripe's name for it; empty without a subscription.
        entitlements: What it may use now, sorted.
    """

    subscription_status: str
    entitlements: tuple[str, ...]


async def read_entitlements(
    session: AsyncSession, user_id: UUID, *, prices: PriceList, grace: timedelta
) -> BillingStanding:
    """Returns an account's billing, by the database's clock.

    Args:
        session: The caller's transaction.
        user_id: The account.
        prices: What each price entitles to.
        grace: How long a subscription that is past due still gives access.
    """
    rows = select(Subscription, func.now()).where(Subscription.user_id == user_id).order_by(Subscription.created_at)
    found = [(subscription, now) for subscription, now in await session.execute(rows)]
    return BillingStanding(
        subscription_status=_foremost([subscription.status for subscription, _ in found]),
        entitlements=tuple(sorted({name for pair in found for name in _entitlements(*pair, prices, grace)})),
    )


def _foremost(statuses: Collection[str]) -> str:
    return min(statuses, key=lambda status: _ORDER.index(status) if status in _ORDER else len(_ORDER), default="")


def _entitlements(subscription: Subscription, now: datetime, prices: PriceList, grace: timedelta) -> set[str]:
    if not has_access(subscription.status, past_due_since=subscription.past_due_since, now=now, grace=grace):
        return set()
    return {prices.entitlements[price] for price in subscription.prices if price in prices}
