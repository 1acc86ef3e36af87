"""A worker that was stopped for longer than its lease comes back, and nothing that it says counts any more."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from headrace.jobs.v1 import job_pb2
from local_stack.journey.account import Person, new_person, register
from local_stack.journey.clients import Clients
from local_stack.journey.waiting import eventually
from local_stack.output.report import check
from local_stack.stack.programs import WORKERS

if TYPE_CHECKING:
    from local_stack.stack.system import System
    from tests.e2e.conftest import Operator

pytestmark = pytest.mark.e2e


def test_the_late_outcome_of_a_stopped_worker_counts_for_nothing(
    system: System, clients: Clients, operator: Operator
) -> None:
    operator.wait_until_at_rest()
    person = new_person("late")
    clients.mailbox.post("/hold", json={"seconds": 60, "count": 2, "to": person.email}).raise_for_status()
    register(clients, person)
    assert clients.transactions(person.email, outcome="held", wait=15)
    [first] = running(clients)
    stopped = next(name for name in WORKERS if str(system.part(name).pid) in first.worker.split(":"))
    system.signal(stopped, signal.SIGSTOP)
    try:
        eventually(lambda: check(len(clients.transactions(person.email)) == 2, "not claimed again"), within=30)
        second = clients.get_job(first.id)
    finally:
        system.signal(stopped, signal.SIGCONT)
    assert second.lease > first.lease
    assert second.worker != first.worker
    assert clients.transactions(person.email, outcome="abandoned", wait=20)

    # The stopped worker is back in its stride, so that whatever it had to say about the old attempt is said.
    eventually(lambda: completes_another(clients, first.worker), within=30)
    still = clients.get_job(first.id)
    assert still.state == job_pb2.JOB_STATE_RUNNING
    assert (still.lease, still.worker) == (second.lease, second.worker)
    assert [(error.lease, error.type) for error in still.errors] == [(first.lease, "worker_lost")]

    clients.mailbox.delete("/hold").raise_for_status()
    operator.wait_until_at_rest()
    done = clients.get_job(first.id)
    assert done.state == job_pb2.JOB_STATE_COMPLETED
    assert (done.lease, done.worker) == (second.lease, second.worker)
    assert [error.lease for error in done.errors] == [first.lease]
    assert [entry["outcome"] for entry in clients.transactions(person.email)] == ["abandoned", "accepted"]
    assert len(clients.mails(person.email)) == 1


def running(clients: Clients) -> list[job_pb2.Job]:
    """The running email jobs."""
    jobs = clients.list_jobs("SendVerificationEmail")
    return [job for job in jobs if job.state == job_pb2.JOB_STATE_RUNNING]


def completes_another(clients: Clients, worker: str) -> None:
    """Registers a user, and makes sure that this worker sends the email."""
    person: Person = new_person("later")
    register(clients, person)
    clients.mails(person.email)
    newest = clients.list_jobs("SendVerificationEmail")[0]
    eventually(lambda: check(clients.get_job(newest.id).HasField("finished_at"), "not recorded yet"), within=15)
    check(newest.worker == worker, "the other worker sent it")
