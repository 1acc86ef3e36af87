"""What a subscription of Stripe means here: what is read of its JSON, and the access that its status gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from api_service.billing.events import MalformedEventError

USER_ID = "headrace_user_id"
CHECKOUT_ID = "headrace_checkout_id"
CUSTOMER_ID = "headrace_customer_id"
"""The keys of this service's ids in the metadata of objects that it creates at Stripe.

Only the secret key can set metadata, so it is trusted. `client_reference_id` is not trusted, because anyone who opens a
payment link can set it.
"""

CANCELED = "canceled"
_WITH_ACCESS = frozenset({"trialing", "active"})
_PAST_DUE = "past_due"
_WITHOUT_ACCESS = frozenset({"incomplete", "incomplete_expired", CANCELED, "unpaid", "paused"})
KNOWN = _WITH_ACCESS | {_PAST_DUE} | _WITHOUT_ACCESS
"""Every status that Stripe has as of API version 2026-10-28.endive."""


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """The stored values of a subscription. Times are in UTC."""

    id: str
    customer_id: str
    status: str
    prices: tuple[str, ...]
    current_period_start: datetime | None
    current_period_end: datetime | None
    cancel_at_period_end: bool
    created_at: datetime

    @property
    def has_begun(self) -> bool:
        """Whether its user gets what they ordered."""
        return self.status in _WITH_ACCESS

    @property
    def is_past_due(self) -> bool:
        """Whether a payment is owed while access goes on for a while."""
        return self.status == _PAST_DUE


def read_subscription(fields: Mapping[str, Any]) -> SubscriptionState:
    """Parses a subscription of Stripe's API.

    Since API version 2025-03-31.basil the period is on the items; the one that ends last counts.

    Raises:
        MalformedEventError: A field that is needed is missing or of another type.
    """
    try:
        items = fields["items"]["data"]
        periods = [(_time(item["current_period_end"]), _time(item["current_period_start"])) for item in items]
        end, start = max(periods, default=(None, None))
        return SubscriptionState(
            id=_text(fields["id"]),
            customer_id=reference(fields["customer"]),
            status=_text(fields["status"]),
            prices=tuple(sorted({_text(item["price"]["id"]) for item in items})),
            current_period_start=start,
            current_period_end=end,
            cancel_at_period_end=fields["cancel_at_period_end"] is True,
            created_at=_time(fields["created"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise MalformedEventError(f"it isn't a valid subscription: {type(error).__name__}: {error}") from error


def has_access(status: str, *, past_due_since: datetime | None, now: datetime, grace: timedelta) -> bool:
    """Returns whether a subscription gives access now. An unknown status gives none."""
    if status == _PAST_DUE and past_due_since is not None:
        return now < past_due_since + grace
    return status in _WITH_ACCESS


def reference(value: Any) -> str:
    """Returns the id in a field that holds an id or an expanded object.

    Raises:
        TypeError: It holds neither.
    """
    return _text(value["id"] if isinstance(value, dict) else value)


def id_in(metadata: Any, key: str) -> UUID | None:
    """Returns one of this service's ids from an object's metadata, if it is there and valid."""
    value = metadata.get(key) if isinstance(metadata, dict) else None
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise TypeError(f"expected a plain string, got {type(value).__name__}")
    return value


def _time(value: Any) -> datetime:
    if not isinstance(value, int):
        raise TypeError(f"expected a time in seconds, got {type(value).__name__}")
    return datetime.fromtimestamp(value, UTC)
