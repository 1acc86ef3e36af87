"""Cancels, retries and deletes one job."""

from __future__ import annotations

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both
from headrace.queue.errors import JobNotActionableError, JobNotFoundError
from headrace.queue.inspection.jobs import get_job_plan
from headrace.queue.inspection.search import MAX_ID
from headrace.queue.job import FINAL_STATES, Job, JobState


def cancel_job_plan(job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Plan[Job]:
    """Cancels a job: a waiting one at once, a running one through its worker, which learns of it at its next heartbeat.

    Returns:
        The job afterwards: cancelled, or running with `cancel_requested_at` set.

    Raises:
        JobNotFoundError: There is no job with that id.
        JobNotActionableError: It has ended in another state (reason JOB_FINISHED).
    """
    changed = yield from _change("cancel", job_id, schema)
    job = yield from get_job_plan(job_id, schema=schema)
    if not changed and job.state in FINAL_STATES and job.state is not JobState.CANCELLED:
        raise JobNotActionableError(job, "JOB_FINISHED", f"job {job_id} is {job.state} and can't be cancelled any more")
    return job


cancel_job, cancel_job_async = both(cancel_job_plan)


def retry_job_plan(job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Plan[Job]:
    """Makes a job available now, with all its retries. A job that is available already is left as it is.

    Raises:
        JobNotFoundError: There is no job with that id.
        JobNotActionableError: It is running (reason JOB_RUNNING) or completed (reason JOB_COMPLETED).
    """
    changed = yield from _change("retry", job_id, schema)
    job = yield from get_job_plan(job_id, schema=schema)
    if not changed and job.state is JobState.RUNNING:
        raise _running(job)
    if not changed and job.state is JobState.COMPLETED:
        text = f"job {job_id} is completed: enqueue a new job to repeat it"
        raise JobNotActionableError(job, "JOB_COMPLETED", text)
    return job


retry_job, retry_job_async = both(retry_job_plan)


def delete_job_plan(job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Plan[None]:
    """Deletes a job, whether it has ended or is waiting. Its idempotency key is kept.

    Raises:
        JobNotFoundError: There is no job with that id.
        JobNotActionableError: It is running (reason JOB_RUNNING).
    """
    if not (yield from _change("delete", job_id, schema)):
        raise _running((yield from get_job_plan(job_id, schema=schema)))


delete_job, delete_job_async = both(delete_job_plan)


def _change(action: str, job_id: int, schema: str) -> Plan[bool]:
    """Cancels, retries or deletes a job where its state allows that, and returns whether it did."""
    require_type(f"{action}_job", int, job_id=job_id)
    if not 0 < job_id <= MAX_ID:
        raise JobNotFoundError(job_id)
    return bool((yield Query(statement(f"{action}_jobs", schema), {"ids": [job_id]})))


def _running(job: Job) -> JobNotActionableError:
    return JobNotActionableError(job, "JOB_RUNNING", f"job {job.id} is running: cancel it first, or wait for its end")
