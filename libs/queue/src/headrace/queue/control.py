"""What a person may do to jobs and queues: cancel, retry, pause, resume. Each is one statement and can be repeated."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from headrace.queue.errors import JobNotActionable
from headrace.queue.job import FINAL_STATES, Job, JobState, Queue
from headrace.queue.lookup import get_job
from headrace.queue.statements import DEFAULT_SCHEMA, statement


async def cancel_job(connection: AsyncConnection[Any], job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Job:
    """Cancels a job: at once where it waits; where it runs, its worker is told with its next beat.

    Answers the job as it stands then: cancelled, or running with `cancel_requested_at` set.

    Raises:
        JobNotFound: There is none of that id.
        JobNotActionable: It has ended otherwise (reason JOB_FINISHED).
    """
    told = await _act(connection, "cancel_job", job_id, schema)
    job = await get_job(connection, job_id, schema=schema)
    if not told and job.state in FINAL_STATES and job.state is not JobState.CANCELLED:
        raise JobNotActionable(job, "JOB_FINISHED", f"job {job_id} is {job.state}: it can't be cancelled any more")
    return job


async def retry_job(connection: AsyncConnection[Any], job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Job:
    """Puts a job back into line now with a fresh retry budget; an available one is left as it is.

    Raises:
        JobNotFound: There is none of that id.
        JobNotActionable: It runs (reason JOB_RUNNING) or is done (reason JOB_COMPLETED).
    """
    told = await _act(connection, "retry_job", job_id, schema)
    job = await get_job(connection, job_id, schema=schema)
    if not told and job.state is JobState.RUNNING:
        raise JobNotActionable(job, "JOB_RUNNING", f"job {job_id} is running: cancel it first, or wait for its end")
    if not told and job.state is JobState.COMPLETED:
        raise JobNotActionable(job, "JOB_COMPLETED", f"job {job_id} is completed: enqueue a new one to repeat it")
    return job


async def pause_queue(connection: AsyncConnection[Any], queue: str, *, by: str, schema: str = DEFAULT_SCHEMA) -> Queue:
    """Stops the claiming of a queue's jobs; running ones finish. The first to pause it is remembered."""
    return await _queue(connection, "pause_queue", {"queue": queue, "by": by}, schema)


async def resume_queue(connection: AsyncConnection[Any], queue: str, *, schema: str = DEFAULT_SCHEMA) -> Queue:
    """Lets a queue run again, at once."""
    return await _queue(connection, "resume_queue", {"queue": queue}, schema)


async def _act(connection: AsyncConnection[Any], name: str, job_id: int, schema: str) -> bool:
    await get_job(connection, job_id, schema=schema)
    cursor = await connection.execute(statement(name, schema), {"job_id": job_id})
    return await cursor.fetchone() is not None


async def _queue(connection: AsyncConnection[Any], name: str, params: dict[str, str], schema: str) -> Queue:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name, schema), params)
        row = await cursor.fetchone()
    assert row is not None
    return Queue(row["name"], row["paused_at"], row["paused_by"])
