"""The journey's third leg: a worker is killed in the middle of a mail, and the other one finishes it, once."""

import time

from headrace.jobs.v1 import job_pb2
from local_stack.journey.account import register, stranger, the_only_mail
from local_stack.journey.clients import Clients
from local_stack.journey.waiting import eventually
from local_stack.output.report import Report, check
from local_stack.stack.programs import WORKERS
from local_stack.stack.system import System

RESCUED_WITHIN = 10.0
"""Seconds that the engine promises from a worker's death to its job's next attempt."""
SLACK = 2.0
"""Seconds for the attempt itself, on a loaded machine."""


def walk(report: Report, system: System, clients: Clients) -> str:
    """Walks the leg, and answers the id of the job that was interrupted."""
    person = stranger("grace")
    with report.step(f"{person.email} registers; the mail server holds its answer to the worker") as step:
        clients.mailbox.post("/hold", json={"seconds": 60, "to": person.email}).raise_for_status()
        register(clients, person)
        check(clients.transactions(person.email, outcome="held", wait=15), "no worker began to send the mail")
        job = running_mail(clients)
        victim = next((name for name in WORKERS if str(system.part(name).pid) in job.worker.split(":")), None)
        check(victim, f"job {job.id} is run by {job.worker!r}, which is neither of the workers")
        assert victim is not None
        step.note(f"job {job.id} runs in {victim}")
    with report.step(f"{victim} is killed with SIGKILL in the middle of the mail"):
        system.kill(victim)
        killed_at = time.monotonic()
    with report.step("the other worker finishes it") as step:
        limit = RESCUED_WITHIN + SLACK
        check(clients.transactions(person.email, outcome="accepted", wait=limit), f"no mail within {limit:.0f} s")
        step.note(f"{time.monotonic() - killed_at:.1f} s after the kill")
    with report.step("exactly one mail was accepted, and the job shows both attempts") as step:
        eventually(lambda: is_completed(clients, job.id), within=5.0)
        the_only_mail(clients, person)
        outcomes = [entry["outcome"] for entry in clients.transactions(person.email)]
        check(outcomes == ["abandoned", "accepted"], f"the mail server's ledger says {outcomes}")
        done = clients.get_job(job.id)
        check(done.worker != job.worker, "the same worker is said to have run both attempts")
        check([error.type for error in done.errors] == ["worker_lost"], f"the job's errors are {done.errors}")
        step.note(f"lease {job.lease} was lost, lease {done.lease} sent it")
    with report.step(f"{victim} is started again"):
        system.start_part(victim)
    return job.id


def running_mail(clients: Clients) -> job_pb2.Job:
    """The one mail job that is running."""
    running = [job for job in clients.list_jobs("SendVerificationEmail") if job.state == job_pb2.JOB_STATE_RUNNING]
    check(len(running) == 1, f"{len(running)} mail jobs are running; expected one")
    return running[0]


def is_completed(clients: Clients, job_id: str) -> None:
    """Makes sure that a job is done."""
    job = clients.get_job(job_id)
    check(job.state == job_pb2.JOB_STATE_COMPLETED, f"job {job_id} is {job_pb2.JobState.Name(job.state)}")
