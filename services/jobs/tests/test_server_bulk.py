"""What is done to all jobs that match a filter, or only counted."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from eventually import Eventually
from google.protobuf import timestamp_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from jobs_server_fixtures import JobsClient, Verification

from headrace.jobs.v1 import job_pb2
from headrace.jobs.v1.job_pb2 import JobFilter
from headrace.jobs.v1.jobs_service_pb2 import (
    CancelJobsRequest,
    DeleteJobRequest,
    DeleteJobsRequest,
    EnqueueBatchRequest,
    GetJobRequest,
    RetryJobsRequest,
)
from headrace.queue.control import bulk

EMAIL = JobFilter(queues=["email"])
ALL = JobFilter(states=[value.name for value in job_pb2.JobState.DESCRIPTOR.values if value.number])


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 3)


@pytest.fixture
async def seven(jobs: JobsClient, verification: Verification) -> list[str]:
    """Seven waiting jobs."""
    batch = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification() for _ in range(7)]))
    return [result.accepted.job_id for result in batch.results]


@pytest.fixture
def db(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def states(db: psycopg.Connection[Any]) -> dict[str, int]:
    return dict(db.execute("select state::text, count(*)::int from headrace.jobs group by state").fetchall())


def acts(db: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return db.execute("select actor, action, subject, details, jobs from headrace.audit_log order by id").fetchall()


def put(db: psycopg.Connection[Any], state: str, *job_ids: str) -> None:
    db.execute(
        "update headrace.jobs set state = %s::headrace.job_state, ready_xid = null, due_at = null, lease = 1, "
        "set_aside = case when %s in ('cancelled', 'discarded', 'quarantined') then %s::headrace.job_state end, "
        "finished_at = case when %s = 'running' then null else now() end where id = any(%s)",
        (state, state, state, state, [int(job_id) for job_id in job_ids]),
    )


async def test_a_dry_run_counts_and_changes_nothing(
    jobs: JobsClient, seven: list[str], db: psycopg.Connection[Any]
) -> None:
    counted = await jobs.CancelJobs(CancelJobsRequest(filter=EMAIL, dry_run=True))
    assert (counted.matched, counted.changed) == (7, 0)
    assert states(db) == {"available": 7}
    assert acts(db) == []


@pytest.mark.usefixtures("small_batches")
async def test_matching_jobs_are_cancelled_batch_by_batch_each_on_record(
    jobs: JobsClient, seven: list[str], db: psycopg.Connection[Any], verification: Verification
) -> None:
    await jobs.Enqueue(verification(queue="slow"))
    done = await jobs.CancelJobs(CancelJobsRequest(filter=EMAIL))
    assert (done.matched, done.changed) == (7, 7)
    assert states(db) == {"cancelled": 7, "available": 1}
    what = ("api", "CancelJobs", "filter", {"filter": {"queues": ["email"]}})
    assert acts(db) == [(*what, 3), (*what, 3), (*what, 1)]


@pytest.mark.usefixtures("small_batches")
async def test_only_jobs_in_a_state_that_allows_it_are_matched(
    jobs: JobsClient, seven: list[str], db: psycopg.Connection[Any]
) -> None:
    put(db, "discarded", *seven[:4])
    put(db, "running", seven[4])
    put(db, "completed", seven[5])
    retried = await jobs.RetryJobs(RetryJobsRequest(filter=ALL))
    assert (retried.matched, retried.changed) == (4, 4)
    assert states(db) == {"available": 5, "running": 1, "completed": 1}
    deleted = await jobs.DeleteJobs(DeleteJobsRequest(filter=ALL))
    assert (deleted.matched, deleted.changed) == (6, 6)
    assert states(db) == {"running": 1}


async def test_a_filter_that_matches_nothing_is_on_record_once(jobs: JobsClient, db: psycopg.Connection[Any]) -> None:
    done = await jobs.DeleteJobs(DeleteJobsRequest(filter=JobFilter(queues=["nowhere"])))
    assert (done.matched, done.changed) == (0, 0)
    assert acts(db) == [("api", "DeleteJobs", "filter", {"filter": {"queues": ["nowhere"]}}, 0)]


async def test_an_empty_filter_is_refused(jobs: JobsClient, seven: list[str], db: psycopg.Connection[Any]) -> None:
    calls = {"CancelJobs": CancelJobsRequest, "RetryJobs": RetryJobsRequest, "DeleteJobs": DeleteJobsRequest}
    for method, request in calls.items():
        for empty in (request(), request(filter=JobFilter())):
            with pytest.raises(AioRpcError) as refused:
                await getattr(jobs, method)(empty)
            assert refused.value.code() == StatusCode.INVALID_ARGUMENT
    assert states(db) == {"available": 7}


async def test_a_filter_out_of_range_is_refused(jobs: JobsClient) -> None:
    for wrong in (JobFilter(created_after=timestamp_pb2.Timestamp(seconds=2**60)), JobFilter(tags=["a\0"])):
        with pytest.raises(AioRpcError) as refused:
            await jobs.CancelJobs(CancelJobsRequest(filter=wrong))
        assert refused.value.code() == StatusCode.INVALID_ARGUMENT


@pytest.mark.usefixtures("small_batches")
async def test_a_call_that_is_given_up_stops_and_called_again_goes_on_with_the_rest(
    jobs: JobsClient, seven: list[str], db: psycopg.Connection[Any], database: str, eventually: Eventually
) -> None:
    async def first_batch_is_through() -> bool:
        return states(db) == {"available": 4}

    with psycopg.connect(database) as other:
        other.execute("select from headrace.jobs where id = %s for update", (seven[3],))  # holds the second batch up
        call = jobs.DeleteJobs(DeleteJobsRequest(filter=EMAIL))
        await eventually(first_batch_is_through)
        call.cancel()

    async def second_batch_is_through() -> bool:
        return states(db) == {"available": 1}

    await eventually(second_batch_is_through)
    assert [jobs for *_, jobs in acts(db)] == [3, 3]
    rest = await jobs.DeleteJobs(DeleteJobsRequest(filter=EMAIL))
    assert (rest.matched, rest.changed) == (1, 1)


async def test_a_deleted_job_is_gone_and_its_key_still_stands_for_it(
    jobs: JobsClient, verification: Verification, db: psycopg.Connection[Any]
) -> None:
    request = verification(idempotency_key="once")
    job_id = (await jobs.Enqueue(request)).job_id
    await jobs.DeleteJob(DeleteJobRequest(job_id=job_id))
    for call in (jobs.GetJob(GetJobRequest(job_id=job_id)), jobs.DeleteJob(DeleteJobRequest(job_id=job_id))):
        with pytest.raises(AioRpcError) as refused:
            await call
        assert refused.value.code() == StatusCode.NOT_FOUND
    again = await jobs.Enqueue(request)
    assert (again.job_id, again.duplicate) == (job_id, True)
    assert acts(db) == [("api", "DeleteJob", f"job:{job_id}", {}, 1)]


async def test_a_running_job_is_not_deleted(
    jobs: JobsClient, verification: Verification, db: psycopg.Connection[Any]
) -> None:
    job_id = (await jobs.Enqueue(verification())).job_id
    put(db, "running", job_id)
    with pytest.raises(AioRpcError) as refused:
        await jobs.DeleteJob(DeleteJobRequest(job_id=job_id))
    assert refused.value.code() == StatusCode.FAILED_PRECONDITION
    assert acts(db) == []
