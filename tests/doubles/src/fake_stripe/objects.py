"""Stripe's objects, new, in the shape of the API version that the installed `stripe` package is pinned to.

Every field that the SDK's classes declare as always there is there (a test compares them). The period of a
subscription stands on its items, and an invoice names its subscription under `parent`, since 2025-03-31.basil.
"""

import secrets
from typing import Any

import stripe

Object = dict[str, Any]
API_VERSION: str = stripe.api_version
PERIOD = {"day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400, "year": 365 * 86_400}


def new_id(prefix: str) -> str:
    """A new id with Stripe's prefix for the type."""
    return f"{prefix}_{secrets.token_hex(12)}"


def product(now: int, *, name: str, object_id: str | None = None) -> Object:
    """A product."""
    return {
        "id": object_id or new_id("prod"), "object": "product", "active": True, "created": now, "updated": now,
        "default_price": None, "description": None, "images": [], "livemode": False, "marketing_features": [],
        "metadata": {}, "name": name, "package_dimensions": None, "shippable": None, "statement_descriptor": None,
        "tax_code": None, "type": "service", "unit_label": None, "url": None,
    }  # fmt: skip


def price(
    now: int, *, product_id: str, amount: int, currency: str, interval: str | None, object_id: str | None = None
) -> Object:
    """A price; a recurring one where an interval is given."""
    recurring = None
    if interval is not None:
        recurring = {
            "interval": interval, "interval_count": 1, "meter": None, "trial_period_days": None,
            "usage_type": "licensed",
        }  # fmt: skip
    return {
        "id": object_id or new_id("price"), "object": "price", "active": True, "billing_scheme": "per_unit",
        "created": now, "currency": currency, "custom_unit_amount": None, "livemode": False, "lookup_key": None,
        "metadata": {}, "nickname": None, "product": product_id, "recurring": recurring,
        "tax_behavior": "unspecified", "tiers_mode": None, "transform_quantity": None,
        "type": "recurring" if recurring else "one_time", "unit_amount": amount, "unit_amount_decimal": str(amount),
    }  # fmt: skip


def customer(now: int, *, email: str | None, name: str | None, metadata: dict[str, str]) -> Object:
    """A customer."""
    return {
        "id": new_id("cus"), "object": "customer", "address": None, "balance": 0, "created": now, "currency": None,
        "default_source": None, "delinquent": False, "description": None, "email": email,
        "invoice_prefix": secrets.token_hex(4).upper(),
        "invoice_settings": {
            "custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None,
        },
        "livemode": False, "metadata": metadata, "name": name, "phone": None, "preferred_locales": [],
        "shipping": None, "tax_exempt": "none", "test_clock": None,
    }  # fmt: skip


def checkout_session(now: int, *, base: str, total: int, currency: str, given: Object) -> Object:
    """An open checkout session. `given` holds what the caller asked for, already checked."""
    session_id = new_id("cs_test")
    return {
        "id": session_id, "object": "checkout.session", "allow_promotion_codes": None, "amount_subtotal": total,
        "amount_total": total, "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None, "cancel_url": None, "client_reference_id": None, "client_secret": None,
        "consent": None, "consent_collection": None, "created": now, "currency": currency, "custom_fields": [],
        "custom_text": {
            "after_submit": None, "shipping_address": None, "submit": None, "terms_of_service_acceptance": None,
        },
        "customer": None, "customer_creation": None, "customer_details": None, "customer_email": None, "discounts": [],
        "expires_at": now + PERIOD["day"], "invoice": None, "invoice_creation": None, "livemode": False, "locale": None,
        "metadata": {}, "payment_intent": None, "payment_link": None, "payment_method_collection": "always",
        "payment_method_options": {}, "payment_method_types": ["card"], "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False}, "recovered_from": None, "setup_intent": None,
        "shipping_address_collection": None, "shipping_cost": None, "shipping_options": [], "status": "open",
        "submit_type": None, "subscription": None, "success_url": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "ui_mode": "hosted_page",
        "url": f"{base}/c/pay/{session_id}",
    } | given  # fmt: skip


def portal_session(now: int, *, base: str, customer_id: str, return_url: str | None) -> Object:
    """A session of the customer portal."""
    session_id = new_id("bps")
    return {
        "id": session_id, "object": "billing_portal.session", "configuration": "bpc_default", "created": now,
        "customer": customer_id, "flow": None, "livemode": False, "locale": None, "on_behalf_of": None,
        "return_url": return_url, "url": f"{base}/p/session/{session_id}",
    }  # fmt: skip


def subscription(
    now: int, *, customer_id: str, lines: list[tuple[Object, int]], metadata: dict[str, str], status: str
) -> Object:
    """A subscription with an item for each price and quantity."""
    subscription_id = new_id("sub")
    items = [_subscription_item(now, subscription_id, price, quantity) for price, quantity in lines]
    return {
        "id": subscription_id, "object": "subscription", "application": None, "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None}, "billing_cycle_anchor": now,
        "billing_cycle_anchor_config": None, "billing_mode": {"type": "flexible", "flexible": None},
        "billing_schedules": [], "billing_thresholds": None, "cancel_at": None, "cancel_at_period_end": False,
        "canceled_at": None, "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically", "created": now, "currency": lines[0][0]["currency"],
        "customer": customer_id, "days_until_due": None, "default_payment_method": None, "default_source": None,
        "default_tax_rates": [], "description": None, "discounts": [], "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list", "data": items, "has_more": False, "total_count": len(items),
            "url": f"/v1/subscription_items?subscription={subscription_id}",
        },
        "latest_invoice": None, "livemode": False, "metadata": metadata, "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None, "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None, "payment_method_types": None, "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None, "pending_setup_intent": None, "pending_update": None, "schedule": None,
        "start_date": now, "status": status, "test_clock": None, "transfer_data": None, "trial_end": None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}}, "trial_start": None,
    }  # fmt: skip


def _subscription_item(now: int, subscription_id: str, price: Object, quantity: int) -> Object:
    recurring = price["recurring"]
    return {
        "id": new_id("si"), "object": "subscription_item", "billing_thresholds": None, "created": now,
        "current_period_start": now, "current_period_end": now + PERIOD[recurring["interval"]], "discounts": [],
        "metadata": {}, "plan": _plan(price), "price": price, "quantity": quantity, "subscription": subscription_id,
        "tax_rates": [],
    }  # fmt: skip


def _plan(price: Object) -> Object:
    """The older twin of a recurring price, which Stripe still sends."""
    return {
        "id": price["id"], "object": "plan", "active": price["active"], "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"], "billing_scheme": "per_unit", "created": price["created"],
        "currency": price["currency"], "interval": price["recurring"]["interval"], "interval_count": 1,
        "livemode": False, "metadata": {}, "meter": None, "nickname": None, "product": price["product"],
        "tiers_mode": None, "transform_usage": None, "trial_period_days": None, "usage_type": "licensed",
    }  # fmt: skip


def invoice(now: int, *, of: Object, reason: str, email: str | None) -> Object:
    """A draft of the invoice for a subscription's current period."""
    invoice_id = new_id("in")
    lines = [_invoice_line(invoice_id, of, item) for item in of["items"]["data"]]
    total = sum(line["amount"] for line in lines)
    return {
        "id": invoice_id, "object": "invoice", "account_country": "DE", "account_name": "Stand-in",
        "account_tax_ids": None, "amount_due": total, "amount_overpaid": 0, "amount_paid": 0, "amount_remaining": total,
        "amount_shipping": 0, "application": None, "attempt_count": 0, "attempted": False, "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None,
        },
        "automatically_finalizes_at": None, "billing_reason": reason, "collection_method": of["collection_method"],
        "created": now, "currency": of["currency"], "custom_fields": None, "customer": of["customer"],
        "customer_address": None, "customer_email": email, "customer_name": None, "customer_phone": None,
        "customer_shipping": None, "customer_tax_exempt": "none", "customer_tax_ids": [],
        "default_payment_method": None, "default_source": None, "default_tax_rates": [], "description": None,
        "discounts": [], "due_date": None, "effective_at": None, "ending_balance": None, "footer": None,
        "from_invoice": None, "hosted_invoice_url": None, "invoice_pdf": None, "issuer": {"type": "self"},
        "last_finalization_error": None, "latest_revision": None,
        "lines": {
            "object": "list", "data": lines, "has_more": False, "total_count": len(lines),
            "url": f"/v1/invoices/{invoice_id}/lines",
        },
        "livemode": False, "metadata": {}, "next_payment_attempt": None, "number": None, "on_behalf_of": None,
        "parent": {
            "type": "subscription_details", "quote_details": None,
            "subscription_details": {"metadata": dict(of["metadata"]), "subscription": of["id"]},
        },
        "payment_settings": {
            "default_mandate": None, "payment_method_options": None, "payment_method_types": None,
        },
        "period_end": now, "period_start": now, "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0, "receipt_number": None, "rendering": None, "shipping_cost": None,
        "shipping_details": None, "starting_balance": 0, "statement_descriptor": None, "status": "draft",
        "status_transitions": {"finalized_at": None, "marked_uncollectible_at": None, "paid_at": None,
                               "voided_at": None},
        "subtotal": total, "subtotal_excluding_tax": total, "test_clock": None, "total": total,
        "total_discount_amounts": [], "total_excluding_tax": total, "total_pretax_credit_amounts": [],
        "total_taxes": [], "webhooks_delivered_at": None,
    }  # fmt: skip


def _invoice_line(invoice_id: str, of: Object, item: Object) -> Object:
    price, quantity = item["price"], item["quantity"]
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("il"), "object": "line_item", "amount": amount, "currency": price["currency"],
        "description": f"{quantity} x {price['id']}", "discount_amounts": [], "discountable": True, "discounts": [],
        "invoice": invoice_id, "livemode": False, "metadata": {},
        "parent": {
            "type": "subscription_item_details", "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None, "proration": False, "proration_details": {"credited_items": None},
                "subscription": of["id"], "subscription_item": item["id"],
            },
        },
        "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details", "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": quantity, "subtotal": amount, "taxes": [],
    }  # fmt: skip


def event(now: int, *, kind: str, snapshot: Object, before: Object | None, key: str | None) -> Object:
    """An event, with the object as it is at this moment and, for an update, the values that it had before."""
    data = {"object": snapshot} if before is None else {"object": snapshot, "previous_attributes": before}
    return {
        "id": new_id("evt"), "object": "event", "api_version": API_VERSION, "created": now, "data": data,
        "livemode": False, "pending_webhooks": 1, "request": {"id": None, "idempotency_key": key}, "type": kind,
    }  # fmt: skip
