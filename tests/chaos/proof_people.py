"""Checks the mail server's and Stripe's records: every user has their email, and what they paid for.

Email is delivered at least once. Every attempt that ends with its record sends the email once or finds it sent. So an
email may have been accepted once more for each attempt without a record: its worker was killed or stopped between the
mail server's 250 and the record, or the api stayed down for the rest of the attempt. Such an attempt is known by its
entry in the job's errors. What is taken more often than that is a violation. This is an upper bound: a worker that was
lost before it had sent anything excuses a mail, too, since neither ledger knows under which lease a mail was sent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from local_stack.journey.clients import Clients
from tests.chaos.record import Ledger

MAILS = """
select mails.message_id, mails.template, mails.sent_at, users.email, mails.id::text
from mails join users on users.id = mails.user_id
"""
HANDED_OVER = (
    "select encode(payload, 'escape') as payload, job_id from outbox where kind like 'saas.jobs.v1.Send%Email'"
)
ERRORS = "select id, errors from headrace.jobs where kind like 'saas.jobs.v1.Send%Email' and errors is not null"
SUBSCRIPTIONS = "select id, status, extract(epoch from current_period_end)::bigint from subscriptions"
AUTHORIZATION = {"Authorization": "Bearer sk_test_stand_in"}
OWN_CUSTOMER = "headrace_customer_id"
LOST = "worker_lost"


@dataclass
class MailCount:
    """What was found about mails.

    Attributes:
        wrong: Violations.
        figures: How much of what at-least-once allows there was.
    """

    wrong: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)


def check_mails(
    jobs: psycopg.Connection[Any], api: psycopg.Connection[Any], clients: Clients, ledger: Ledger
) -> MailCount:
    """Every user has the email of their registration, and no email came more often than can be explained."""
    found = MailCount()
    taken: dict[str, list[datetime]] = defaultdict(list)
    for entry in clients.mailbox.get("/ledger").raise_for_status().json()["transactions"]:
        if entry["outcome"] == "accepted":
            taken[entry["message_id"]].append(datetime.fromisoformat(entry["started_at"]))
    errors: dict[int, list[dict[str, Any]]] = dict(jobs.execute(ERRORS).fetchall())
    job_of = {payload: int(job_id) for payload, job_id in api.execute(HANDED_OVER)}
    mailed = set()
    for message_id, template, sent_at, email, mail_id in api.execute(MAILS):
        times = taken.pop(message_id, [])
        found.figures["mails"] += 1
        if times:
            mailed.add(email)
        elif sent_at is not None:
            found.wrong.append(
                f"mail {message_id} to {email} is recorded as sent, but the mail server has not accepted it"
            )
        elif template != "verify_email":
            found.wrong.append(f"mail {message_id} ({template}) to {email} was never accepted")
        else:
            found.figures["mails dropped, since their link had no use any more"] += 1
        if len(times) <= 1:
            continue
        job_id = next(job_id for payload, job_id in job_of.items() if mail_id in payload)
        excuses = list(unrecorded(errors.get(job_id, []), times))
        found.figures["mails taken more than once"] += 1
        found.figures["… times too often, all in all"] += len(times) - 1
        if LOST in excuses:
            found.figures["… of them, with a worker lost in one of their attempts"] += 1
        if len(times) - 1 > len(excuses):
            found.wrong.append(
                f"mail {message_id} to {email} was taken {len(times)} times; attempts without a record: {excuses}"
            )
    found.wrong += [f"the mail server accepted {message_id}, which no job sent" for message_id in taken]
    found.wrong += [f"{email} is registered, and has no mail" for email in ledger.people if email not in mailed]
    return found


def unrecorded(errors: list[dict[str, Any]], times: list[datetime]) -> Iterator[str]:
    """The types of the errors of attempts that can have sent the mail without recording that.

    A worker that was lost can have sent it at any time, also later; an attempt that failed, only before that.
    """
    before = None
    for error in errors:
        at = datetime.fromisoformat(error["at"])
        if error["type"] == LOST or any((before is None or before < time) and time <= at for time in times):
            yield error["type"]
        before = at


def check_billing(api: psycopg.Connection[Any], clients: Clients) -> list[str]:
    """Each subscription is in the books as Stripe has it; each user is one customer; each notice was made once."""
    at_stripe = {item["id"]: item for item in listed(clients, "subscriptions")}
    booked = {row[0]: row[1:] for row in api.execute(SUBSCRIPTIONS)}
    wrong = []
    for item_id, item in at_stripe.items():
        told = (item["status"], item["items"]["data"][0]["current_period_end"])
        if booked.get(item_id) != told:
            wrong.append(f"subscription {item_id} is {told} at Stripe, and {booked.get(item_id)} in the books")
    wrong += [f"subscription {item_id} is in the books only" for item_id in booked.keys() - at_stripe.keys()]
    customers = Counter(item["metadata"].get(OWN_CUSTOMER) for item in listed(clients, "customers"))
    wrong += [
        f"customer {customer} was made {count} times at Stripe" for customer, count in customers.items() if count > 1
    ]
    begun = api.execute("select about from billing_notices where mail_id not in (select id from mails)").fetchall()
    return wrong + [f"the mail of {about} is not there" for (about,) in begun]


def listed(clients: Clients, what: str, **params: str) -> Iterator[dict[str, Any]]:
    """Every object of a list of Stripe's."""
    after: dict[str, str] = {}
    while True:
        query = {"limit": "100", **params, **after}
        page = clients.stripe.get(f"/v1/{what}", params=query, headers=AUTHORIZATION).raise_for_status().json()
        yield from page["data"]
        if not page["has_more"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}
