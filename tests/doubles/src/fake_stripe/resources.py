"""What each call of the API does with its parameters: checked as Stripe checks them, then done by the shop.

A parameter that a call does not know is refused, as Stripe refuses it, so that a mistake of our clients shows here
and not in production. (Stripe knows more parameters than these.)
"""

from collections.abc import Callable
from typing import Any

from fake_stripe import objects
from fake_stripe.errors import StripeError, invalid
from fake_stripe.shop import Shop
from fake_stripe.store import Object

Params = dict[str, Any]
Call = Callable[[Shop, Params, dict[str, str]], Object]
_PAGING = ("limit", "starting_after", "ending_before", "created")


def _check(params: Params, known: tuple[str, ...], required: tuple[str, ...] = ()) -> None:
    for name in params:
        if name not in known:
            raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")
    for name in required:
        if params.get(name) in (None, ""):
            raise invalid(f"Missing required param: {name}.", name, "parameter_missing")


def _text(params: Params, name: str) -> str | None:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"Invalid string: {name}", name)
    return value or None


def retrieve(kind: str) -> Call:
    """A call that returns one object of a type."""

    def call(shop: Shop, params: Params, path: dict[str, str]) -> Object:
        _check(params, ())
        return shop.store.get(kind, path["id"])

    return call


def listing(kind: str, url: str, *filters: str) -> Call:
    """A call that returns a page of a type, newest first."""

    def call(shop: Shop, params: Params, path: dict[str, str]) -> Object:
        _check(params, (*_PAGING, *filters, *(("types",) if kind == "event" else ())))
        return shop.store.page(kind, url, params, filters)

    return call


def create_customer(shop: Shop, params: Params, path: dict[str, str]) -> Object:
    """POST /v1/customers."""
    _check(params, ("email", "name", "metadata"))
    return shop.create_customer(
        email=_text(params, "email"), name=_text(params, "name"), metadata=params.get("metadata", {})
    )


def create_price(shop: Shop, params: Params, path: dict[str, str]) -> Object:
    """POST /v1/prices, with a product that it names or makes."""
    _check(params, ("currency", "unit_amount", "recurring", "product", "product_data"), ("currency", "unit_amount"))
    now = shop.clock()
    if "product_data" in params:
        product = shop.store.add(objects.product(now, name=params["product_data"]["name"]))
    else:
        product = shop.store.get("product", params.get("product", ""), "product")
    interval = params.get("recurring", {}).get("interval")
    if interval is not None and interval not in objects.PERIOD:
        raise invalid("Invalid recurring[interval]: must be one of day, week, month, or year", "recurring[interval]")
    price = objects.price(
        now,
        product_id=product["id"],
        amount=int(params["unit_amount"]),
        currency=params["currency"],
        interval=interval,
    )
    return shop.store.add(price)


def create_session(shop: Shop, params: Params, path: dict[str, str]) -> Object:
    """POST /v1/checkout/sessions, for subscriptions."""
    own = ("cancel_url", "client_reference_id", "customer", "customer_email", "metadata", "mode", "success_url")
    _check(params, (*own, "line_items", "subscription_data"), ("mode", "line_items", "success_url"))
    if params["mode"] != "subscription":
        raise invalid("This stand-in sells subscriptions only.", "mode")
    if params.get("customer") and params.get("customer_email"):
        raise invalid("You may only specify one of these parameters: customer, customer_email.", "customer")
    if "customer" in params:
        shop.store.get("customer", params["customer"], "customer")
    lines = []
    for place, line in enumerate(params["line_items"]):
        price = shop.store.get("price", line.get("price", ""), f"line_items[{place}][price]")
        if price["recurring"] is None:
            raise invalid("You must provide at least one recurring price in `subscription` mode.", "line_items")
        lines.append((price, int(line.get("quantity", "1"))))
    given = {name: params[name] for name in own if name in params}
    return shop.create_checkout_session(lines, given, params.get("subscription_data", {}))


def expire_session(shop: Shop, params: Params, path: dict[str, str]) -> Object:
    """POST /v1/checkout/sessions/{id}/expire."""
    _check(params, ())
    return shop.expire(path["id"])


def create_portal_session(shop: Shop, params: Params, path: dict[str, str]) -> Object:
    """POST /v1/billing_portal/sessions."""
    _check(params, ("customer", "return_url"), ("customer",))
    customer = shop.store.get("customer", params["customer"], "customer")
    session = objects.portal_session(
        shop.clock(), base=shop.base, customer_id=customer["id"], return_url=params.get("return_url")
    )
    return shop.store.add(session)


def update_subscription(shop: Shop, params: Params, path: dict[str, str]) -> Object:
    """POST /v1/subscriptions/{id}."""
    _check(params, ("cancel_at_period_end", "metadata"))
    changes: Object = {}
    if "cancel_at_period_end" in params:
        changes["cancel_at_period_end"] = params["cancel_at_period_end"] == "true"
    if "metadata" in params:
        old = shop.store.get("subscription", path["id"])["metadata"]
        changes["metadata"] = {name: value for name, value in (old | params["metadata"]).items() if value != ""}
    return shop.update_subscription(path["id"], changes)


def cancel_subscription(shop: Shop, params: Params, path: dict[str, str]) -> Object:
    """DELETE /v1/subscriptions/{id}."""
    _check(params, ())
    if shop.store.get("subscription", path["id"])["status"] == "canceled":
        raise StripeError(404, "invalid_request_error", f"No such subscription: '{path['id']}'", "resource_missing")
    return shop.cancel(path["id"])


def pay_invoice(shop: Shop, params: Params, path: dict[str, str]) -> Object:
    """POST /v1/invoices/{id}/pay."""
    _check(params, ())
    return shop.pay_invoice(path["id"])


CALLS: dict[tuple[str, str], Call] = {
    ("POST", "/v1/customers"): create_customer,
    ("GET", "/v1/customers"): listing("customer", "/v1/customers", "email"),
    ("GET", "/v1/customers/{id}"): retrieve("customer"),
    ("GET", "/v1/products"): listing("product", "/v1/products"),
    ("GET", "/v1/products/{id}"): retrieve("product"),
    ("POST", "/v1/prices"): create_price,
    ("GET", "/v1/prices"): listing("price", "/v1/prices", "product"),
    ("GET", "/v1/prices/{id}"): retrieve("price"),
    ("POST", "/v1/checkout/sessions"): create_session,
    ("GET", "/v1/checkout/sessions"): listing(
        "checkout.session", "/v1/checkout/sessions", "customer", "subscription", "status"
    ),
    ("GET", "/v1/checkout/sessions/{id}"): retrieve("checkout.session"),
    ("POST", "/v1/checkout/sessions/{id}/expire"): expire_session,
    ("POST", "/v1/billing_portal/sessions"): create_portal_session,
    ("GET", "/v1/subscriptions"): listing("subscription", "/v1/subscriptions", "customer", "status"),
    ("GET", "/v1/subscriptions/{id}"): retrieve("subscription"),
    ("POST", "/v1/subscriptions/{id}"): update_subscription,
    ("DELETE", "/v1/subscriptions/{id}"): cancel_subscription,
    ("GET", "/v1/invoices"): listing("invoice", "/v1/invoices", "customer", "status"),
    ("GET", "/v1/invoices/{id}"): retrieve("invoice"),
    ("POST", "/v1/invoices/{id}/pay"): pay_invoice,
    ("GET", "/v1/events"): listing("event", "/v1/events", "type"),
    ("GET", "/v1/events/{id}"): retrieve("event"),
}
