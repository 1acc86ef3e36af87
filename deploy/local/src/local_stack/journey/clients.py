"""The journey's clients: a user's app, an operator, a mailbox and a browser."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import httpx

from headrace.jobs.v1 import job_pb2, jobs_service_pb2, jobs_service_pb2_grpc
from local_stack.output.report import CheckFailedError, check
from local_stack.stack.system import System
from saas.auth.v1 import auth_service_pb2_grpc
from saas.billing.v1 import billing_service_pb2_grpc

RPC_TIMEOUT = 10.0
_LINK = re.compile(r"https?://\S+")


class Clients:
    """Channels and HTTP clients to a running system; close them with `close`."""

    def __init__(self, system: System) -> None:
        self._api = grpc.insecure_channel(system.address("api-grpc"))
        self._jobs = grpc.insecure_channel(system.address("jobs-grpc"))
        self._operator = bearer(system.credentials.operator_token)
        self.auth = auth_service_pb2_grpc.AuthServiceStub(self._api)
        self.billing = billing_service_pb2_grpc.BillingServiceStub(self._api)
        self.jobs = jobs_service_pb2_grpc.JobsServiceStub(self._jobs)
        # Without the environment's proxy, and with time for the mail catcher to wait.
        self.browser = httpx.Client(trust_env=False, timeout=30.0)
        self.mailbox = httpx.Client(trust_env=False, timeout=90.0, base_url=system.url("mail-http"))
        self.stripe = httpx.Client(trust_env=False, timeout=30.0, base_url=system.url("stripe-http"))

    def close(self) -> None:
        """Closes all of them."""
        for client in (self._api, self._jobs, self.browser, self.mailbox, self.stripe):
            client.close()

    # ── Emails ──

    def mails(self, to: str, *, count: int = 1, wait: float = 15.0) -> list[dict[str, Any]]:
        """Waits until an address has `count` emails, and returns all of them."""
        response = self.mailbox.get("/mails", params={"to": to, "count": count, "wait": wait}).raise_for_status()
        mails: list[dict[str, Any]] = response.json()["mails"]
        check(len(mails) >= count, f"{to} has {len(mails)} emails after {wait:.0f} s; expected {count}")
        return mails

    def transactions(self, to: str, *, outcome: str = "", wait: float = 0.0) -> list[dict[str, Any]]:
        """Waits until the SMTP server has a transaction for an address, and returns all of them."""
        query: dict[str, str | float] = {"to": to, "outcome": outcome, "wait": wait}
        response = self.mailbox.get("/ledger", params=query).raise_for_status()
        transactions: list[dict[str, Any]] = response.json()["transactions"]
        return transactions

    # ── Jobs ──

    def list_jobs(self, *kinds: str) -> Sequence[job_pb2.Job]:
        """Returns the jobs of some kinds, or of all kinds, newest first."""
        request = jobs_service_pb2.ListJobsRequest(
            filter={"kinds": [f"saas.jobs.v1.{kind}" for kind in kinds]}, page_size=500
        )
        response = self.jobs.ListJobs(request, metadata=self._operator, timeout=RPC_TIMEOUT)
        return list(response.jobs)

    def get_job(self, job_id: str) -> job_pb2.Job:
        """Returns one job."""
        request = jobs_service_pb2.GetJobRequest(job_id=job_id)
        return self.jobs.GetJob(request, metadata=self._operator, timeout=RPC_TIMEOUT).job

    def check_jobs_done(self) -> None:
        """Checks that every job so far is completed.

        Raises:
            CheckFailedError: A job isn't completed yet.
        """
        jobs = self.list_jobs()
        left = [job for job in jobs if job.state != job_pb2.JOB_STATE_COMPLETED]
        shown = ", ".join(
            f"job {job.id} ({job.kind.rpartition('.')[2]}) is {job_pb2.JobState.Name(job.state)}"
            + (f": {job.errors[-1].message}" if job.errors else "")
            for job in left
        )
        check(not left, f"{len(left)} of {len(jobs)} jobs are not completed: {shown}")


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Returns the metadata of a call with a token."""
    return (("authorization", f"Bearer {token}"),)


def link_in(mail: dict[str, Any], page: str) -> str:
    """Returns the link to a page ("/verify", "/reset") in an email's plain text."""
    for link in _LINK.findall(mail["text"]):
        if f"{page}?" in link:
            return str(link)
    raise CheckFailedError(f"the email {mail['subject']!r} has no link to {page}")


def refused_with(code: grpc.StatusCode, call: Callable[[], object]) -> None:
    """Checks that a call fails with a status code."""
    try:
        call()
    except grpc.RpcError as refusal:
        got = refusal.code()
        check(got is code, f"expected {code.name}, got {got.name}: {refusal.details()}")
        return
    raise CheckFailedError(f"expected {code.name}, but the call succeeded")
