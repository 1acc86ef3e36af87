"""The product's own load: people who register, confirm, pay, and whose subscriptions change; and Stripe's webhooks."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from typing import TypeVar

import grpc
import httpx

from local_stack.journey.account import Person, login, register
from local_stack.journey.clients import RPC_TIMEOUT, Clients, bearer, link_in
from local_stack.journey.forms import Form
from local_stack.output.report import CheckFailedError
from local_stack.stack.programs import PRICE
from saas.billing.v1 import billing_service_pb2 as billing
from tests.chaos.record import Ledger

CUSTOMERS = 0.4
"""Which share of people pays."""
PAUSE = (0.5, 2.0)
AGAIN = 0.5
T = TypeVar("T")


class People(threading.Thread):
    """One person after the other."""

    def __init__(self, number: int, clients: Clients, ledger: Ledger, stop: threading.Event, rng: random.Random):
        super().__init__(name=f"people-{number}", daemon=True)
        self._clients = clients
        self._ledger = ledger
        self._stopping = stop
        self._rng = rng

    def run(self) -> None:
        """Lets people come until stopped; who has begun goes their way to the end."""
        count = 0
        while not self._stopping.wait(self._rng.uniform(*PAUSE)):
            count += 1
            person = Person(f"{self.name}.{count}@chaos.example", secrets.token_urlsafe(12))
            insist(lambda: register(self._clients, person))  # noqa: B023  (called before the next)
            self._ledger.registered(person.email)
            if self._rng.random() < CUSTOMERS:
                self._become_customer(person)

    def _become_customer(self, person: Person) -> None:
        clients = self._clients
        token = insist(lambda: self._confirm_and_log_in(person))
        request = billing.CreateCheckoutSessionRequest(price_id=PRICE, client_key=secrets.token_hex(8))
        session = insist(
            lambda: clients.billing.CreateCheckoutSession(request, metadata=bearer(token), timeout=RPC_TIMEOUT)
        ).session_id
        paid = self._at_stripe("pay", session=session)
        for _ in range(self._rng.randint(0, 2)):
            self._at_stripe("renew", subscription=paid["subscription"], paid=self._rng.random() < 0.7)
        if self._rng.random() < 0.2:
            self._at_stripe("cancel", subscription=paid["subscription"])

    def _confirm_and_log_in(self, person: Person) -> str:
        """By the newest email: a repeated registration may have invalidated the previous one."""
        clients = self._clients
        link = link_in(clients.mails(person.email, wait=10)[-1], "/verify")
        page = clients.browser.get(link).raise_for_status()
        answer = Form(page).submit(clients.browser)
        if answer.is_server_error:
            answer.raise_for_status()
        return login(clients, person)

    def _at_stripe(self, act: str, **told: object) -> dict[str, str]:
        """Stripe itself is never harmed, so an error here is one of the harness."""
        answer: dict[str, str] = self._clients.stripe.post(f"/_control/{act}", json=told).raise_for_status().json()
        return answer


class Webhooks(threading.Thread):
    """Stripe, which sends what happened until it is taken: now and then twice, and out of order."""

    def __init__(self, clients: Clients, stop: threading.Event, rng: random.Random):
        super().__init__(name="webhooks", daemon=True)
        self._clients = clients
        self._stopping = stop
        self._rng = rng

    def run(self) -> None:
        """Sends until stopped."""
        while not self._stopping.wait(self._rng.uniform(0.5, 2)):
            told = {"duplicate": self._rng.random() < 0.3, "shuffle": True, "seed": self._rng.randrange(2**31)}
            deliver(self._clients, **told)


def deliver(clients: Clients, **told: object) -> None:
    """Makes Stripe send the webhooks that were not accepted yet; rejected ones stay."""
    try:
        clients.stripe.post("/_control/deliver", json=told).raise_for_status()
    except httpx.TransportError:
        return  # a stopped api lets it wait for too long


def insist(call: Callable[[], T]) -> T:
    """Retries until there is a response, as a well-behaved app does."""
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED):
                raise
        except (httpx.HTTPError, CheckFailedError):
            pass
        threading.Event().wait(AGAIN)
