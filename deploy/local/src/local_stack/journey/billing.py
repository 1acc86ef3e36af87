"""The journey's second part: the user pays; duplicate, reordered webhooks take effect exactly once."""

import secrets

from local_stack.journey.account import Person, get_account, login
from local_stack.journey.clients import RPC_TIMEOUT, Clients, bearer
from local_stack.journey.waiting import eventually
from local_stack.output.report import Report, check
from local_stack.stack.programs import PRICE
from saas.billing.v1 import billing_service_pb2 as billing

WITHIN = 20.0
"""How many seconds a webhook's job may take on a loaded machine, including a retry."""


def walk(report: Report, clients: Clients, person: Person) -> None:
    """Runs this part, with the fake Stripe."""
    token = login(clients, person)
    eventually(clients.check_jobs_done, within=WITHIN)  # so that all emails of the previous part have arrived
    earlier = len(clients.mails(person.email))
    with report.step("a checkout session is created, and a repeated call returns the same one") as step:
        request = billing.CreateCheckoutSessionRequest(price_id=PRICE, client_key=secrets.token_hex(8))
        sessions = [
            clients.billing.CreateCheckoutSession(request, metadata=bearer(token), timeout=RPC_TIMEOUT)
            for _ in range(2)
        ]
        check(sessions[0].session_id == sessions[1].session_id, "the repeated call made another session")
        step.note(sessions[0].session_id)
    with report.step("the fake Stripe takes the payment, and sends signed webhooks twice and out of order") as step:
        clients.stripe.post("/_control/pay", json={"session": sessions[0].session_id}).raise_for_status()
        order = {"duplicate": True, "shuffle": True}
        deliveries = clients.stripe.post("/_control/deliver", json=order).raise_for_status().json()["deliveries"]
        refused = [delivery for delivery in deliveries if delivery["status"] != 200]
        check(deliveries and not refused, f"not every webhook got a 200: {refused}")
        step.note(f"{len(deliveries)} webhooks")
    with report.step("GetAccount shows an active subscription and what it unlocks") as step:

        def is_active() -> None:
            account = get_account(clients, token)
            check(account.subscription_status == "active", f"the subscription is {account.subscription_status!r}")
            check(account.entitlements, "the subscription unlocks nothing")
            step.notes = [", ".join(account.entitlements)]

        eventually(is_active, within=WITHIN)
    with report.step("every webhook's job is completed, and there is exactly one email about the subscription") as step:
        eventually(clients.check_jobs_done, within=WITHIN)
        subjects = [mail["subject"] for mail in clients.mails(person.email)[earlier:]]
        check(len(subjects) == 1, f"expected one email about the subscription, not {len(subjects)}: {subjects}")
        step.note(f"“{subjects[0]}”")
