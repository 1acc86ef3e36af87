"""Postgres goes down under load and comes back."""

import json
import os
import secrets
import time

import grpc
import pytest

from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest
from local_stack.journey.account import new_person, register
from local_stack.journey.clients import Clients, bearer, refused_with
from local_stack.journey.waiting import eventually
from local_stack.output.report import CheckFailedError
from local_stack.stack.system import Options, System
from saas.jobs.v1.kinds_pb2 import ReconcileStripe

pytestmark = pytest.mark.e2e

# Longer than a worker's lease, so that an engine which trusted the clock alone would take healthy jobs away.
OUTAGE_SECONDS = float(os.environ.get("E2E_OUTAGE_SECONDS", "12"))
UNAVAILABLE_WITHIN = 6.0
RECOVERED_WITHIN = 20.0
OPTIONS = Options(
    jaeger=False,
    environment={
        # An email that is being sent when the outage begins must be able to outlast it.
        "SMTP_TIMEOUT": "4m",
        "API_MAIL_RESERVATION": "10m",
        "JOBS_KIND_OVERRIDES": json.dumps(
            {
                f"saas.jobs.v1.Send{mail}Email": {"timeout": "5m"}
                for mail in ("Verification", "PasswordReset", "Notification")
            }
        ),
    },
)


def test_an_outage_runs_no_healthy_job_twice_and_everything_recovers_by_itself(
    system: System, clients: Clients
) -> None:
    in_the_middle, afterwards = new_person("ida"), new_person("joan")
    clients.mailbox.post("/hold", json={"seconds": 240, "to": in_the_middle.email})
    register(clients, in_the_middle)
    assert clients.transactions(in_the_middle.email, outcome="held", wait=15)

    system.stop_postgres()
    back_at = time.monotonic() + OUTAGE_SECONDS
    while time.monotonic() < back_at:
        for call in (lambda: enqueue(clients, system), lambda: register(clients, new_person("refused"))):
            asked_at = time.monotonic()
            refused_with(grpc.StatusCode.UNAVAILABLE, call)
            assert time.monotonic() - asked_at < UNAVAILABLE_WITHIN
    system.start_postgres()
    eventually(lambda: recovered(clients, system), within=RECOVERED_WITHIN)
    clients.mailbox.delete("/hold")

    eventually(clients.check_jobs_done, within=RECOVERED_WITHIN)
    [job] = clients.list_jobs("SendVerificationEmail")
    assert (job.lease, job.attempt, list(job.errors)) == (1, 1, [])
    assert [entry["outcome"] for entry in clients.transactions(in_the_middle.email)] == ["accepted"]
    register(clients, afterwards)
    assert len(clients.mails(afterwards.email)) == 1


def enqueue(clients: Clients, system: System) -> str:
    request = EnqueueRequest(idempotency_key=secrets.token_hex(8))
    request.payload.Pack(ReconcileStripe())
    token = system.credentials.operator_token
    return clients.jobs.Enqueue(request, metadata=bearer(token), timeout=UNAVAILABLE_WITHIN).job_id


def recovered(clients: Clients, system: System) -> None:
    try:
        enqueue(clients, system)
    except grpc.RpcError as not_yet:
        raise CheckFailedError(f"jobs still can't be enqueued: {not_yet.details()}") from None
