"""What happens at Stripe: customers are made, sessions are paid, subscriptions live and end, and each step is an event.

Every change is made here, in one synchronous function, so that an observer never sees half of it.
"""

import copy
from collections.abc import Callable
from typing import Any

from fake_stripe import objects
from fake_stripe.errors import invalid
from fake_stripe.store import Object, Store


class Shop:
    """The business behind the API.

    Args:
        store: Where the objects live.
        clock: Returns the time in whole seconds since the epoch.
        base: Where payment pages would be.
    """

    def __init__(self, store: Store, clock: Callable[[], int], base: str) -> None:
        self.store = store
        self.clock = clock
        self.base = base
        self.undelivered: list[Object] = []
        self.idempotency_key: str | None = None
        # What is in each open session; Stripe does not show it in the session itself.
        self._baskets: dict[str, tuple[list[tuple[Object, int]], Object]] = {}
        self._sell("prod_pro", "Pro", "price_pro_monthly", 1900)
        self._sell("prod_team", "Team", "price_team_monthly", 4900)

    def _sell(self, product_id: str, name: str, price_id: str, amount: int) -> None:
        self.store.add(objects.product(self.clock(), name=name, object_id=product_id))
        self.store.add(
            objects.price(
                self.clock(), product_id=product_id, amount=amount, currency="eur", interval="month", object_id=price_id
            )
        )

    def create_customer(self, *, email: str | None, name: str | None, metadata: dict[str, str]) -> Object:
        """Makes a customer."""
        customer = self.store.add(objects.customer(self.clock(), email=email, name=name, metadata=metadata))
        self._tell("customer.created", customer)
        return customer

    def create_checkout_session(self, lines: list[tuple[Object, int]], given: Object, details: Object) -> Object:
        """Opens a checkout session.

        Args:
            lines: Prices and quantities.
            given: The session's own fields.
            details: What the subscription is to get (`metadata`).
        """
        total = sum(price["unit_amount"] * quantity for price, quantity in lines)
        currency = lines[0][0]["currency"]
        session = objects.checkout_session(self.clock(), base=self.base, total=total, currency=currency, given=given)
        self._baskets[session["id"]] = (lines, details)
        return self.store.add(session)

    def pay(self, session_id: str) -> Object:
        """Pays a session: a subscription with its first, paid invoice, and the events in Stripe's order.

        Raises:
            StripeError: There is no such session, or it isn't open.
        """
        session = self.store.get("checkout.session", session_id, "session")
        if session["status"] != "open":
            raise invalid(f"The session is {session['status']}.", "session")
        lines, details = self._baskets.pop(session_id)
        email = session["customer_email"]
        if session["customer"] is None:
            session["customer"] = self.create_customer(email=email, name=None, metadata={})["id"]
        customer = self.store.get("customer", session["customer"], "customer")
        subscription = self.store.add(
            objects.subscription(
                self.clock(),
                customer_id=customer["id"],
                lines=lines,
                metadata=details.get("metadata", {}),
                status="incomplete",
            )
        )
        invoice = self._bill(subscription, "subscription_create")
        self._tell("customer.subscription.created", subscription)
        self._settle(invoice, subscription)
        self._change(
            "checkout.session.completed",
            session,
            status="complete",
            payment_status="paid",
            subscription=subscription["id"],
            invoice=invoice["id"],
            url=None,
            customer_details={"address": None, "email": customer["email"], "name": customer["name"], "phone": None,
                              "tax_exempt": "none", "tax_ids": []},
        )  # fmt: skip
        return session

    def expire(self, session_id: str) -> Object:
        """Lets an open session run out."""
        session = self.store.get("checkout.session", session_id)
        if session["status"] != "open":
            raise invalid('Only Checkout Sessions with a status in ["open"] can be expired.', "session")
        return self._change("checkout.session.expired", session, status="expired", url=None)

    def renew(self, subscription_id: str, *, paid: bool) -> Object:
        """Begins a subscription's next period; where the payment fails, it is past due."""
        subscription = self.store.get("subscription", subscription_id, "subscription")
        for item in subscription["items"]["data"]:
            length = item["current_period_end"] - item["current_period_start"]
            item["current_period_start"] = item["current_period_end"]
            item["current_period_end"] += length
        invoice = self._bill(subscription, "subscription_cycle")
        if paid:
            self._settle(invoice, subscription)
        else:
            self._change(
                "invoice.payment_failed",
                invoice,
                attempted=True,
                attempt_count=invoice["attempt_count"] + 1,
                next_payment_attempt=self.clock() + 3 * objects.PERIOD["day"],
            )
            self.update_subscription(subscription_id, {"status": "past_due"})
        return subscription

    def update_subscription(self, subscription_id: str, changes: Object) -> Object:
        """Changes a subscription's fields, as a person at Stripe or a call of the API would."""
        subscription = self.store.get("subscription", subscription_id)
        return self._change("customer.subscription.updated", subscription, **changes)

    def cancel(self, subscription_id: str) -> Object:
        """Ends a subscription now."""
        subscription = self.store.get("subscription", subscription_id)
        now = self.clock()
        return self._change(
            "customer.subscription.deleted", subscription, status="canceled", canceled_at=now, ended_at=now
        )

    def pay_invoice(self, invoice_id: str) -> Object:
        """Pays an open invoice; its subscription becomes active."""
        invoice = self.store.get("invoice", invoice_id)
        if invoice["status"] != "open":
            raise invalid(f"Invoice is already {invoice['status']}", "invoice", "invoice_not_open")
        details = invoice["parent"]["subscription_details"]
        return self._settle(invoice, self.store.get("subscription", details["subscription"]))

    def _bill(self, subscription: Object, reason: str) -> Object:
        customer = self.store.get("customer", subscription["customer"])
        draft = objects.invoice(self.clock(), of=subscription, reason=reason, email=customer["email"])
        invoice = self.store.add(draft)
        subscription["latest_invoice"] = invoice["id"]
        self._tell("invoice.created", invoice)
        number = f"{customer['invoice_prefix']}-{sum(1 for _ in self.store.all('invoice')):04d}"
        self._change("invoice.finalized", invoice, status="open", number=number, effective_at=self.clock())
        invoice["status_transitions"]["finalized_at"] = self.clock()
        return invoice

    def _settle(self, invoice: Object, subscription: Object) -> Object:
        invoice["status_transitions"]["paid_at"] = self.clock()
        self._change(
            "invoice.paid",
            invoice,
            status="paid",
            attempted=True,
            attempt_count=invoice["attempt_count"] + 1,
            amount_paid=invoice["amount_due"],
            amount_remaining=0,
        )
        self._tell("invoice.payment_succeeded", invoice)
        self.update_subscription(subscription["id"], {"status": "active"})
        return invoice

    def _change(self, told: str, item: Object, **changes: Any) -> Object:
        before = {name: item.get(name) for name, value in changes.items() if item.get(name) != value}
        item.update(changes)
        self._tell(told, item, before=copy.deepcopy(before) if told.endswith(".updated") else None)
        return item

    def _tell(self, kind: str, item: Object, *, before: Object | None = None) -> None:
        snapshot = copy.deepcopy(item)
        event = objects.event(self.clock(), kind=kind, snapshot=snapshot, before=before, key=self.idempotency_key)
        self.undelivered.append(self.store.add(event))
