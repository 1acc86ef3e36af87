"""Stripe's events that could not be applied until their jobs were given up are applied after a reconcile."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from google.protobuf import any_pb2

from headrace.jobs.v1 import job_pb2
from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest
from local_stack.journey.account import get_account, login, new_person, register, the_only_mail
from local_stack.journey.clients import RPC_TIMEOUT, Clients, bearer, link_in
from local_stack.journey.forms import Form
from local_stack.journey.waiting import eventually
from local_stack.output.report import check
from local_stack.stack.programs import PRICE
from local_stack.stack.system import Options
from saas.billing.v1 import billing_service_pb2 as billing
from saas.jobs.v1.kinds_pb2 import ReconcileStripe

if TYPE_CHECKING:
    from tests.e2e.conftest import Operator

pytestmark = pytest.mark.e2e

OPTIONS = Options(
    jaeger=False,
    environment={
        "JOBS_RETRY_BASE": "200ms",  # soon given up
        "JOBS_RETRY_FACTOR": "2",
        "JOBS_RECONCILE_EVERY": "1h",  # the test asks for it
    },
)


def test_a_subscription_whose_events_were_given_up_is_right_after_a_reconcile_with_one_mail(
    clients: Clients, operator: Operator
) -> None:
    operator.wait_until_at_rest()
    person = new_person("payer")
    register(clients, person)
    page = clients.browser.get(link_in(the_only_mail(clients, person), "/verify")).raise_for_status()
    Form(page).submit(clients.browser).raise_for_status()
    token = login(clients, person)
    request = billing.CreateCheckoutSessionRequest(price_id=PRICE, client_key=secrets.token_hex(8))
    session = clients.billing.CreateCheckoutSession(request, metadata=bearer(token), timeout=RPC_TIMEOUT)

    with operator.forbidden_to_write("stripe_objects"):
        clients.stripe.post("/_control/pay", json={"session": session.session_id}).raise_for_status()
        told = {"duplicate": True, "shuffle": True}
        clients.stripe.post("/_control/deliver", json=told).raise_for_status()
        operator.wait_until_at_rest()
        jobs = clients.list_jobs("ProcessStripeWebhook")
        assert jobs
        assert {job.state for job in jobs} == {job_pb2.JOB_STATE_DISCARDED}
        assert get_account(clients, token).subscription_status == ""

    payload = any_pb2.Any()
    payload.Pack(ReconcileStripe())
    operator.enqueue(EnqueueRequest(payload=payload, idempotency_key=secrets.token_hex(8)))
    eventually(lambda: check(get_account(clients, token).subscription_status == "active", "no subscription"), within=30)
    operator.wait_until_at_rest()
    assert get_account(clients, token).entitlements
    assert operator.open_stripe_events() == 0
    _, *notices = clients.mails(person.email, count=2)
    [notice] = notices
    assert notice["subject"].startswith("Your subscription to ")
