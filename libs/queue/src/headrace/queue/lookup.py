"""Reading jobs: one, or a page of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from headrace.queue.errors import JobNotFound
from headrace.queue.job import Job, JobState
from headrace.queue.statements import DEFAULT_SCHEMA, statement

MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class JobFilter:
    """Which jobs; an empty tuple means any."""

    states: tuple[JobState, ...] = ()
    kinds: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()


async def get_job(connection: AsyncConnection[Any], job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Job:
    """One job.

    Raises:
        JobNotFound: There is none of that id, or no longer.
    """
    if not 0 < job_id <= MAX_ID:
        raise JobNotFound(job_id)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("get_job", schema), {"job_id": job_id})
        row = await cursor.fetchone()
    if row is None:
        raise JobNotFound(job_id)
    return Job.from_row(row)


async def list_jobs(
    connection: AsyncConnection[Any],
    wanted: JobFilter | None = None,
    *,
    limit: int = 50,
    before_id: int | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> list[Job]:
    """A page of jobs, newest first: those below `before_id`, at most `limit`.

    Pages are stable: asked for again and again with the last id of the page before, every job that exists throughout is
    listed exactly once.
    """
    wanted = wanted or JobFilter()
    params = {
        "before_id": before_id,
        "states": [str(state) for state in wanted.states] or None,
        "kinds": list(wanted.kinds) or None,
        "queues": list(wanted.queues) or None,
        "limit": limit,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("list_jobs", schema), params)
        return [Job.from_row(row) for row in await cursor.fetchall()]
