"""Stripe's events: what is read of one, and what is fetched for each type.

An event is only a hint that an object has changed. `_FETCHES` says which object is fetched again. `_WITHOUT_EFFECT`
lists the types that change nothing here, each with the reason.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

ObjectType = Literal["subscription", "checkout.session", "invoice"]

_FETCHES: dict[ObjectType, tuple[str, ...]] = {
    "checkout.session": (
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
    ),
    "subscription": (
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "customer.subscription.trial_will_end",
        "customer.subscription.pending_update_applied",
        "customer.subscription.pending_update_expired",
    ),
    "invoice": (
        "invoice.paid",
        "invoice.payment_failed",
        "invoice.payment_action_required",
    ),
}
_OBJECT_TYPES: dict[str, ObjectType] = {name: kind for kind, names in _FETCHES.items() for name in names}

_INVOICE = "no invoices are kept here; what an invoice does to access arrives as an event of its subscription"
_CUSTOMER = "the account keeps its own address; a deleted customer's subscriptions end with their own events"
_PAYMENT_METHOD = "payment methods stay with Stripe"
_MONEY_BACK = "a refund or dispute does not end access; ending the subscription does, with its own event"
_WITHOUT_EFFECT: dict[str, str] = {
    "invoice.created": _INVOICE,
    "invoice.finalized": _INVOICE,
    "invoice.updated": _INVOICE,
    "invoice.voided": _INVOICE,
    "invoice.marked_uncollectible": _INVOICE,
    "invoice.finalization_failed": _INVOICE,
    "customer.updated": _CUSTOMER,
    "customer.deleted": _CUSTOMER,
    "payment_method.attached": _PAYMENT_METHOD,
    "payment_method.detached": _PAYMENT_METHOD,
    "payment_method.automatically_updated": _PAYMENT_METHOD,
    "charge.refunded": _MONEY_BACK,
    "charge.dispute.created": _MONEY_BACK,
    "charge.dispute.closed": _MONEY_BACK,
}

# Values read from an event are stored as text, looked up and logged: only these characters are allowed.
_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_TYPE = re.compile(r"[a-z0-9_.]{1,255}")
_API_VERSION = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class MalformedEventError(ValueError):
    """The bytes are not a Stripe event."""


@dataclass(frozen=True, slots=True)
class Event:
    """The values read from an event.

    Attributes:
        id: Stripe's id, "evt_…".
        type: For example "customer.subscription.updated".
        livemode: Whether it is about real money.
        account: The connected account it belongs to; empty for the deployment's own.
        api_version: The API version of the body; empty if it names none.
        object_id: The id of the object it is about; empty if that has none.
        body: The event as received, byte for byte.
    """

    id: str
    type: str
    livemode: bool
    account: str
    api_version: str
    object_id: str
    body: bytes

    @property
    def fetches(self) -> ObjectType | None:
        """The type of the object to fetch again, or None if the event changes nothing here."""
        return _OBJECT_TYPES.get(self.type) if self.object_id else None

    @property
    def ignored_because(self) -> str:
        """Why the event changes nothing here; empty if it changes something."""
        if self.fetches:
            return ""
        if self.type in _OBJECT_TYPES:
            return "it names no object"
        return _WITHOUT_EFFECT.get(self.type, "unknown type")


def parse_event(body: bytes) -> Event:
    """Reads the needed values of an event, and no others.

    Raises:
        MalformedEventError: It is not JSON in UTF-8, not an event, or one of the values read here doesn't have
            Stripe's format. (Other strings may contain anything, including NUL and lone surrogates: if they were
            rejected, Stripe would resend the event for three days.)
    """
    fields = parse_object(body)
    if fields.get("object") != "event":
        raise MalformedEventError('it is not an event: "object" is not "event"')
    data = fields.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    if not isinstance(about, dict):
        raise MalformedEventError('it has no "data.object"')
    livemode = fields.get("livemode")
    if not isinstance(livemode, bool):
        raise MalformedEventError('"livemode" is neither true nor false')
    return Event(
        id=_text(fields, "id", _ID),
        type=_text(fields, "type", _TYPE),
        livemode=livemode,
        account=_text(fields, "account", _ID, optional=True),
        api_version=_text(fields, "api_version", _API_VERSION, optional=True),
        object_id=_text(about, "id", _ID, optional=True),
        body=body,
    )


def parse_object(text: bytes) -> dict[str, Any]:
    """Parses a JSON object from an external source.

    Raises:
        MalformedEventError: It is not UTF-8, not JSON, nested too deeply, or not an object.
    """
    try:
        fields = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise MalformedEventError(f"it can't be read as JSON: {type(error).__name__}") from error
    if not isinstance(fields, dict):
        raise MalformedEventError("it is not a JSON object")
    return fields


def _text(fields: dict[str, Any], name: str, form: re.Pattern[str], *, optional: bool = False) -> str:
    value = fields.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str) or not form.fullmatch(value):
        raise MalformedEventError(f'"{name}" is not of the form {form.pattern}')
    return value
