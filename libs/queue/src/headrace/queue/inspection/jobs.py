"""Reading jobs: one, a page of them, or how many there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import DEFAULT_SCHEMA, rows
from headrace.queue.errors import JobNotFoundError
from headrace.queue.inspection.search import MAX_ID, JobFilter, search
from headrace.queue.job import Job, JobState


class JobPage(list[Job]):
    """Jobs, newest first, and where the next page begins."""

    def __init__(self, jobs: Iterable[Job], before_id: int | None) -> None:
        super().__init__(jobs)
        self.before_id = before_id
        """To be given for the next page; None when this is the last."""


async def get_job(connection: AsyncConnection[Any], job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Job:
    """One job.

    Raises:
        JobNotFoundError: There is none of that id, or no longer.
        TypeError: An id is a number, and this is none.
    """
    require_type("get_job", int, job_id=job_id)
    if not 0 < job_id <= MAX_ID:
        raise JobNotFoundError(job_id)
    found = await rows(connection, "get_job", {"job_id": job_id}, schema=schema)
    if not found:
        raise JobNotFoundError(job_id)
    return Job.from_row(found[0])


async def list_jobs(
    connection: AsyncConnection[Any],
    wanted: JobFilter | None = None,
    *,
    limit: int = 50,
    before_id: int | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> JobPage:
    """A page of jobs, newest first: those below `before_id`, at most `limit`.

    Pages are stable: asked for one after the other, each with the `before_id` of the page before, they list every job
    that exists and matches throughout exactly once. A page may be short, or even empty, and still have a `before_id`: a
    look goes through 20,000 jobs or so at most, and then answers what it has. It reads the index that knows best:

        any states but completed   their own small indexes, unless more than 20,000 jobs wait
        tags                       the index of tags
        queues, kinds              the index of queues and kinds
        times                      found by bisecting the ids, which are given out in the order of time

    Jobs are read after they were found: one that changed in the moment between is listed as it is then.

    Raises:
        ValueError: `limit` is below 1.
        TypeError: Something is of another type.
    """
    require_type("list_jobs", int, limit=limit, before_id=MAX_ID if before_id is None else before_id)
    if wanted is not None:
        require_type("list_jobs", JobFilter, wanted=wanted)
    if limit < 1:
        raise ValueError(f"list_jobs: limit must be at least 1, not {limit}")
    found = await search(connection, wanted or JobFilter(), limit=limit, before_id=before_id, schema=schema)
    jobs = await rows(connection, "list_jobs", {"ids": found.ids}, schema=schema)
    return JobPage(map(Job.from_row, jobs), found.before_id)


@dataclass(frozen=True)
class BoundedCount:
    """How many jobs were counted, and whether there are more."""

    jobs: int
    more: bool


async def count_jobs(
    connection: AsyncConnection[Any], *, schema: str = DEFAULT_SCHEMA
) -> dict[str, dict[JobState, int]]:
    """How many jobs there are, per queue and state; what there is none of is left out.

    Exact. Takes as long as live jobs are many; finished ones cost nothing.
    """
    counts = await count_jobs_up_to(connection, None, schema=schema)
    return {queue: {state: counted.jobs for state, counted in states.items()} for queue, states in counts.items()}


async def count_jobs_up_to(
    connection: AsyncConnection[Any], most: int | None, *, schema: str = DEFAULT_SCHEMA
) -> dict[str, dict[JobState, BoundedCount]]:
    """How many jobs there are, per queue and state, as `count_jobs`, but without a long look at long lines.

    Args:
        connection: Any.
        most: So many are counted of each queue's line, and so many of all jobs that wait for a time, those that are due
            first. None: all.
        schema: The installation's schema.
    """
    counts: dict[str, dict[JobState, BoundedCount]] = {}
    for row in await rows(connection, "count_jobs", {"most": most}, schema=schema):
        counts.setdefault(row["queue"], {})[JobState(row["state"])] = BoundedCount(row["jobs"], row["more"])
    return counts
