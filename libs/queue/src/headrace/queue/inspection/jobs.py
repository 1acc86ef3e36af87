"""Reads jobs: one, a page of them, or how many there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both
from headrace.queue.errors import JobNotFoundError
from headrace.queue.inspection.search import MAX_ID, JobFilter, search
from headrace.queue.job import Job, JobState


class JobPage(list[Job]):
    """Jobs, newest first, and where the next page begins."""

    def __init__(self, jobs: Iterable[Job], before_id: int | None) -> None:
        super().__init__(jobs)
        self.before_id = before_id
        """Pass it to `list_jobs` for the next page. None: this is the last page."""


def get_job_plan(job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Plan[Job]:
    """Returns one job.

    Raises:
        JobNotFoundError: There is no job with that id, or it was deleted.
        TypeError: The id is not an int, or the connection is not of a supported kind.
    """
    require_type("get_job", int, job_id=job_id)
    if not 0 < job_id <= MAX_ID:
        raise JobNotFoundError(job_id)
    rows = yield Query(statement("get_job", schema), {"job_id": job_id}, alone=True)
    if not rows:
        raise JobNotFoundError(job_id)
    return Job.from_row(rows[0])


get_job, get_job_async = both(get_job_plan)


def list_jobs_plan(
    wanted: JobFilter | None = None,
    *,
    limit: int = 50,
    before_id: int | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> Plan[JobPage]:
    """Returns a page of jobs, newest first: those below `before_id`, at most `limit`.

    Pages are stable: requested one after the other, each with the `before_id` of the page before, they list every job
    that exists and matches throughout exactly once. A page may be short, or even empty, and still have a `before_id`: a
    call reads about 20,000 jobs at most, then returns what it has found. It reads the index that suits the filter best:

        any states but completed   their own small indexes, unless more than 20,000 jobs wait
        tags                       the index of tags
        queues, kinds              the index of queues and kinds
        times                      found by bisecting the ids, which are given out in the order of time

    Jobs are read after they were found: one that changed in between is listed as it is by then.

    Args:
        wanted: Which jobs. None: all.
        limit: The most jobs of the page.
        before_id: Where the page begins: the `before_id` of the page before. None: at the newest job.
        schema: The installation's schema.

    Raises:
        ValueError: `limit` is below 1.
        TypeError: An argument is of the wrong type, or the connection is not of a supported kind.
    """
    require_type("list_jobs", int, limit=limit, before_id=MAX_ID if before_id is None else before_id)
    if wanted is not None:
        require_type("list_jobs", JobFilter, wanted=wanted)
    if limit < 1:
        raise ValueError(f"list_jobs: limit must be at least 1, not {limit}")
    found = yield from search(wanted or JobFilter(), limit=limit, before_id=before_id, schema=schema)
    jobs = yield Query(statement("list_jobs", schema), {"ids": found.ids})
    return JobPage(map(Job.from_row, jobs), found.before_id)


list_jobs, list_jobs_async = both(list_jobs_plan)


@dataclass(frozen=True)
class BoundedCount:
    """How many jobs were counted, and whether there are more."""

    jobs: int
    more: bool


def count_jobs_plan(*, schema: str = DEFAULT_SCHEMA) -> Plan[dict[str, dict[JobState, int]]]:
    """Returns how many jobs there are, per queue and state. States without jobs are left out.

    The counts are exact. The time it takes grows with the number of unfinished jobs; finished jobs cost nothing.
    """
    counts = yield from count_jobs_up_to_plan(None, schema=schema)
    return {queue: {state: counted.jobs for state, counted in states.items()} for queue, states in counts.items()}


count_jobs, count_jobs_async = both(count_jobs_plan)


def count_jobs_up_to_plan(
    most: int | None, *, schema: str = DEFAULT_SCHEMA
) -> Plan[dict[str, dict[JobState, BoundedCount]]]:
    """Returns how many jobs there are, per queue and state, as `count_jobs` does, but counts long queues in part only.

    Args:
        most: How many available jobs are counted of each queue, and how many of all scheduled and retryable jobs,
            beginning with those that are due first. None: all.
        schema: The installation's schema.
    """
    counts: dict[str, dict[JobState, BoundedCount]] = {}
    for row in (yield Query(statement("count_jobs", schema), {"most": most}, alone=True)):
        counts.setdefault(row["queue"], {})[JobState(row["state"])] = BoundedCount(row["jobs"], row["more"])
    return counts


count_jobs_up_to, count_jobs_up_to_async = both(count_jobs_up_to_plan)
