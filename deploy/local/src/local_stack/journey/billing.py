"""The journey's second leg: the person pays, Stripe's webhooks come twice and in disorder, and all is right once."""

import secrets

from local_stack.journey.account import Person, get_account, login
from local_stack.journey.clients import RPC_TIMEOUT, Clients, bearer
from local_stack.journey.waiting import eventually
from local_stack.output.report import Report, check
from local_stack.stack.programs import PRICE
from saas.billing.v1 import billing_service_pb2 as billing

WITHIN = 20.0
"""Seconds that a webhook's job may take on a loaded machine, a retry included."""


def walk(report: Report, clients: Clients, person: Person) -> None:
    """Walks the leg with the Stripe stand-in."""
    token = login(clients, person)
    eventually(clients.check_jobs_done, within=WITHIN)  # so that the mails of the leg before are all there
    earlier = len(clients.mails(person.email))
    with report.step("a checkout session is created, and asking again answers the same one") as step:
        request = billing.CreateCheckoutSessionRequest(price_id=PRICE, client_key=secrets.token_hex(8))
        answers = [
            clients.billing.CreateCheckoutSession(request, metadata=bearer(token), timeout=RPC_TIMEOUT)
            for _ in range(2)
        ]
        check(answers[0].session_id == answers[1].session_id, "the repeated call made another session")
        step.note(answers[0].session_id)
    with report.step("the stand-in takes the money, and sends signed webhooks twice and out of order") as step:
        clients.stripe.post("/_control/pay", json={"session": answers[0].session_id}).raise_for_status()
        told = {"duplicate": True, "shuffle": True}
        deliveries = clients.stripe.post("/_control/deliver", json=told).raise_for_status().json()["deliveries"]
        refused = [delivery for delivery in deliveries if delivery["status"] != 200]
        check(deliveries and not refused, f"not every webhook was answered with 200: {refused}")
        step.note(f"{len(deliveries)} webhooks")
    with report.step("GetAccount shows an active subscription and what it unlocks") as step:

        def is_active() -> None:
            account = get_account(clients, token)
            check(account.subscription_status == "active", f"the subscription is {account.subscription_status!r}")
            check(account.entitlements, "the subscription unlocks nothing")
            step.notes = [", ".join(account.entitlements)]

        eventually(is_active, within=WITHIN)
    with report.step("every webhook's job is completed, and there is exactly one mail about the subscription") as step:
        eventually(clients.check_jobs_done, within=WITHIN)
        subjects = [mail["subject"] for mail in clients.mails(person.email)[earlier:]]
        check(len(subjects) == 1, f"expected one mail about the subscription, not {len(subjects)}: {subjects}")
        step.note(f"“{subjects[0]}”")
