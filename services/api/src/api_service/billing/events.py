"""Stripe's events as this service sees them: what is read of one, and what each type makes us fetch.

An event is only a hint that an object has changed. Which object is looked at again stands in `_FETCHES`;
the types that change nothing here stand in `_WITHOUT_EFFECT`, each with the reason.
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
_CUSTOMER = "the account keeps its own address; a deleted customer's subscriptions end with events of their own"
_PAYMENT_METHOD = "payment methods stay with Stripe"
_MONEY_BACK = "a refund or dispute does not end access; ending the subscription does, with an event of its own"
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

# What is read of an event is kept in text columns, looked up and logged: only these characters get there.
_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_TYPE = re.compile(r"[a-z0-9_.]{1,255}")
_API_VERSION = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class MalformedEventError(ValueError):
    """The bytes are not a Stripe event."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is read of one event.

    Attributes:
        id: Stripe's id, "evt_…".
        type: For example "customer.subscription.updated".
        livemode: Whether it is about real money.
        account: The connected account it belongs to; empty for our own.
        api_version: The version in which the body is written; empty where it names none.
        object_id: The id of the object it is about; empty where that has none.
        body: The event as it came, byte for byte.
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
        """The type of the object to look at again, or None where the event changes nothing here."""
        return _OBJECT_TYPES.get(self.type) if self.object_id else None

    @property
    def ignored_because(self) -> str:
        """Why the event changes nothing here; empty where it does."""
        if self.fetches:
            return ""
        if self.type in _OBJECT_TYPES:
            return "it names no object"
        return _WITHOUT_EFFECT.get(self.type, "unknown type")


def parse_event(body: bytes) -> Event:
    """Reads what is needed of an event, and nothing else of it.

    Raises:
        MalformedEventError: It is not JSON in UTF-8, not an event, or one of the values we read is not of the
            form that Stripe gives it. (Strings that we don't read may hold anything, also NUL and lone
            surrogates: refusing them would have Stripe repeat the event for three days.)
    """
    fields = parse_object(body)
    if fields.get("object") != "event":
        raise MalformedEventError('it is no event: "object" is not "event"')
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
    """Reads a JSON object that came from outside.

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
