"""The journey's first part: a user registers, confirms the address, logs in, and resets the password."""

import secrets
from dataclasses import dataclass
from typing import Any

import grpc

from local_stack.journey.clients import RPC_TIMEOUT, Clients, bearer, link_in, refused_with
from local_stack.journey.forms import Form
from local_stack.output.report import Report, check
from saas.auth.v1 import auth_service_pb2 as auth


@dataclass
class Person:
    """A user; the password changes during the journey."""

    email: str
    password: str


def new_person(name: str) -> Person:
    """Returns a user with a new address."""
    return Person(f"{name}.{secrets.token_hex(3)}@example.com", secrets.token_urlsafe(12))


def walk(report: Report, clients: Clients) -> Person:
    """Runs this part and returns the user, who can now log in."""
    person = new_person("ada")
    with report.step(f"{person.email} registers over gRPC"):
        register(clients, person)
    with report.step("the email with the link arrives, once, by SMTP") as step:
        mail = the_only_mail(clients, person)
        step.note(f"“{mail['subject']}”")
        link = link_in(mail, "/verify")
    with report.step("looking at the link (GET, twice) consumes nothing: login is still refused"):
        for _ in range(2):
            page = clients.browser.get(link).raise_for_status()
        refused_with(grpc.StatusCode.UNAUTHENTICATED, lambda: login(clients, person))
    with report.step("pressing the button (POST) confirms the address"):
        Form(page).submit(clients.browser).raise_for_status()
    with report.step("login, and GetAccount shows the confirmed address"):
        account = get_account(clients, login(clients, person))
        check(account.HasField("email_verified_at"), "the account's address is not confirmed")
        check(account.email == person.email, f"the account is that of {account.email}")
    with report.step("a forgotten password: the email to choose another arrives"):
        clients.auth.RequestPasswordReset(auth.RequestPasswordResetRequest(email=person.email), timeout=RPC_TIMEOUT)
        mail = clients.mails(person.email, count=2)[-1]
        link = link_in(mail, "/reset")
    with report.step("the new password is set; it logs in, the old one no longer does"):
        old = Person(person.email, person.password)
        person.password = secrets.token_urlsafe(12)
        page = clients.browser.get(link).raise_for_status()
        Form(page).submit(clients.browser, password=person.password).raise_for_status()
        refused_with(grpc.StatusCode.UNAUTHENTICATED, lambda: login(clients, old))
        login(clients, person)
    return person


def register(clients: Clients, person: Person) -> None:
    """Registers a user."""
    request = auth.RegisterRequest(email=person.email, password=person.password)
    clients.auth.Register(request, timeout=RPC_TIMEOUT)


def login(clients: Clients, person: Person) -> str:
    """Logs a user in and returns the access token."""
    request = auth.LoginRequest(email=person.email, password=person.password)
    return clients.auth.Login(request, timeout=RPC_TIMEOUT).access_token


def get_account(clients: Clients, access_token: str) -> auth.Account:
    """Returns the token's account."""
    request = auth.GetAccountRequest()
    return clients.auth.GetAccount(request, metadata=bearer(access_token), timeout=RPC_TIMEOUT).account


def the_only_mail(clients: Clients, person: Person) -> dict[str, Any]:
    """Waits for the user's first email, and checks that there is no other."""
    mails = clients.mails(person.email)
    check(len(mails) == 1, f"{person.email} has {len(mails)} emails; expected one")
    return mails[0]
