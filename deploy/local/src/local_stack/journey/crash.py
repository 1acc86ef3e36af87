"""The journey's third part: a worker is killed while it sends an email, and the other one sends it, once."""

import time

from headrace.jobs.v1 import job_pb2
from local_stack.journey.account import new_person, register, the_only_mail
from local_stack.journey.clients import Clients
from local_stack.journey.waiting import eventually
from local_stack.output.report import Report, check
from local_stack.stack.programs import WORKERS
from local_stack.stack.system import System

RESCUED_WITHIN = 10.0
"""The engine's guarantee: seconds from a worker's death to its job's next attempt."""
SLACK = 2.0
"""How many seconds the attempt itself may take on a loaded machine."""


def walk(report: Report, system: System, clients: Clients) -> str:
    """Runs this part and returns the id of the interrupted job."""
    person = new_person("grace")
    with report.step(f"{person.email} registers; the SMTP server delays its reply to the worker") as step:
        clients.mailbox.post("/hold", json={"seconds": 60, "to": person.email}).raise_for_status()
        register(clients, person)
        check(clients.transactions(person.email, outcome="held", wait=15), "no worker started to send the email")
        job = running_mail(clients)
        victim = next((name for name in WORKERS if str(system.part(name).pid) in job.worker.split(":")), None)
        check(victim, f"job {job.id} is run by {job.worker!r}, which is not one of the workers")
        assert victim is not None
        step.note(f"job {job.id} runs in {victim}")
    with report.step(f"{victim} is killed with SIGKILL while it sends the email"):
        system.kill(victim)
        killed_at = time.monotonic()
    with report.step("the other worker finishes it") as step:
        limit = RESCUED_WITHIN + SLACK
        check(clients.transactions(person.email, outcome="accepted", wait=limit), f"no email within {limit:.0f} s")
        step.note(f"{time.monotonic() - killed_at:.1f} s after the kill")
    with report.step("exactly one email was accepted, and the job shows both attempts") as step:
        eventually(lambda: is_completed(clients, job.id), within=5.0)
        the_only_mail(clients, person)
        outcomes = [entry["outcome"] for entry in clients.transactions(person.email)]
        check(outcomes == ["abandoned", "accepted"], f"the SMTP server recorded {outcomes}")
        done = clients.get_job(job.id)
        check(done.worker != job.worker, "one worker is recorded for both attempts")
        check([error.type for error in done.errors] == ["worker_lost"], f"the job's errors are {done.errors}")
        step.note(f"lease {job.lease} was lost, lease {done.lease} sent it")
    with report.step(f"{victim} is restarted"):
        system.start_part(victim)
    return job.id


def running_mail(clients: Clients) -> job_pb2.Job:
    """Returns the one email job that is running."""
    running = [job for job in clients.list_jobs("SendVerificationEmail") if job.state == job_pb2.JOB_STATE_RUNNING]
    check(len(running) == 1, f"{len(running)} email jobs are running; expected one")
    return running[0]


def is_completed(clients: Clients, job_id: str) -> None:
    """Checks that a job is completed."""
    job = clients.get_job(job_id)
    check(job.state == job_pb2.JOB_STATE_COMPLETED, f"job {job_id} is {job_pb2.JobState.Name(job.state)}")
