"""Cancel, retry and delete one job."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from headrace.queue.db.statements import DEFAULT_SCHEMA, rows
from headrace.queue.errors import JobNotActionableError
from headrace.queue.inspection.jobs import get_job
from headrace.queue.job import FINAL_STATES, Job, JobState


async def cancel_job(connection: AsyncConnection[Any], job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Job:
    """Cancels a job: at once where it waits; where it runs, its worker is told with its next beat.

    Answers the job as it stands then: cancelled, or running with `cancel_requested_at` set.

    Raises:
        JobNotFoundError: There is none of that id.
        JobNotActionableError: It has ended otherwise (reason JOB_FINISHED).
    """
    told = await _act(connection, "cancel_jobs", job_id, schema)
    job = await get_job(connection, job_id, schema=schema)
    if not told and job.state in FINAL_STATES and job.state is not JobState.CANCELLED:
        raise JobNotActionableError(job, "JOB_FINISHED", f"job {job_id} is {job.state}: it can't be cancelled any more")
    return job


async def retry_job(connection: AsyncConnection[Any], job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Job:
    """Puts a job back into line now with a fresh retry budget; an available one is left as it is.

    Raises:
        JobNotFoundError: There is none of that id.
        JobNotActionableError: It runs (reason JOB_RUNNING) or is done (reason JOB_COMPLETED).
    """
    told = await _act(connection, "retry_jobs", job_id, schema)
    job = await get_job(connection, job_id, schema=schema)
    if not told and job.state is JobState.RUNNING:
        raise JobNotActionableError(
            job, "JOB_RUNNING", f"job {job_id} is running: cancel it first, or wait for its end"
        )
    if not told and job.state is JobState.COMPLETED:
        raise JobNotActionableError(job, "JOB_COMPLETED", f"job {job_id} is completed: enqueue a new one to repeat it")
    return job


async def delete_job(connection: AsyncConnection[Any], job_id: int, *, schema: str = DEFAULT_SCHEMA) -> None:
    """Deletes a job, also a waiting one. Its idempotency key stays.

    Raises:
        JobNotFoundError: There is none of that id.
        JobNotActionableError: It runs (reason JOB_RUNNING).
    """
    if not await _act(connection, "delete_jobs", job_id, schema):
        job = await get_job(connection, job_id, schema=schema)
        raise JobNotActionableError(
            job, "JOB_RUNNING", f"job {job_id} is running: cancel it first, or wait for its end"
        )


async def _act(connection: AsyncConnection[Any], name: str, job_id: int, schema: str) -> bool:
    await get_job(connection, job_id, schema=schema)
    return bool(await rows(connection, name, {"ids": [job_id]}, schema=schema))
