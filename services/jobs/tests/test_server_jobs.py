"""What a caller can see of jobs and do to them."""

import base64
from typing import Any

import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status
from jobs_server_fixtures import ClientOf, JobsClient, Serve, Verification

from headrace.jobs.v1 import job_pb2
from headrace.jobs.v1.jobs_service_pb2 import (
    CancelJobRequest,
    EnqueueBatchRequest,
    EnqueueResponse,
    GetJobRequest,
    ListJobsRequest,
    ListKindsRequest,
    PauseQueueRequest,
    ResumeQueueRequest,
    RetryJobRequest,
)
from headrace.queue.inspection import search
from jobs_service.rpc import jobs as jobs_part
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail


def reason(error: AioRpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    for packed in rpc_status.from_call(error).details:
        packed.Unpack(info)
    return str(info.reason)


async def accepted(jobs: JobsClient, request: Any) -> str:
    answer: EnqueueResponse = await jobs.Enqueue(request)
    return answer.job_id


def put(database: str, job_id: str, state: str) -> None:
    """Puts a job into a state, as workers would."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "update headrace.jobs set state = %s::headrace.job_state, ready_xid = null, due_at = null, lease = 1, "
            "set_aside = case when %s in ('cancelled', 'discarded', 'quarantined') then %s::headrace.job_state end, "
            "claimed_at = now(), finished_at = case when %s = 'running' then null else now() end where id = %s",
            (state, state, state, state, job_id),
        )


async def test_an_id_that_was_never_given_out_is_not_found(jobs: JobsClient) -> None:
    requests = {"GetJob": GetJobRequest, "CancelJob": CancelJobRequest, "RetryJob": RetryJobRequest}
    for job_id in ("7", "0", "-1", "01", "abc", "9" * 30, "1\0", "\u0661"):
        for method, request in requests.items():
            with pytest.raises(AioRpcError) as refused:
                await getattr(jobs, method)(request(job_id=job_id))
            assert (refused.value.code(), reason(refused.value)) == (StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


async def test_pages_list_every_job_once_newest_first(jobs: JobsClient, verification: Verification) -> None:
    batch = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification() for _ in range(7)]))
    ids = [result.accepted.job_id for result in batch.results]
    listed, token, pages = [], "", 0
    while pages == 0 or token:
        page = await jobs.ListJobs(ListJobsRequest(page_size=3, page_token=token))
        await jobs.Enqueue(verification())  # what comes meanwhile disturbs nothing
        listed += [job.id for job in page.jobs]
        token, pages = page.next_page_token, pages + 1
    assert listed == sorted(ids, key=int, reverse=True)
    assert pages == 3


async def test_a_list_can_be_narrowed_by_state_kind_and_queue(
    jobs: JobsClient, verification: Verification, database: str
) -> None:
    done, waiting, slow = [
        await accepted(jobs, request) for request in (verification(), verification(), verification(queue="slow"))
    ]
    put(database, done, "completed")

    async def ids(**wanted: Any) -> list[str]:
        return [job.id for job in (await jobs.ListJobs(ListJobsRequest(filter=job_pb2.JobFilter(**wanted)))).jobs]

    assert await ids(states=[job_pb2.JOB_STATE_COMPLETED]) == [done]
    assert await ids(queues=["slow"]) == [slow]
    assert await ids(kinds=["saas.jobs.v1.SendVerificationEmail"], queues=["email"]) == [waiting, done]
    assert await ids(kinds=["saas.jobs.v1.ProcessStripeWebhook"]) == []


async def test_a_page_token_that_was_never_given_out_is_refused(jobs: JobsClient) -> None:
    for token in ("x", "\u20ac", base64.urlsafe_b64encode(b"\0" * 17).decode(), "A" * 1000):
        with pytest.raises(AioRpcError) as refused:
            await jobs.ListJobs(ListJobsRequest(page_token=token))
        assert (refused.value.code(), reason(refused.value)) == (StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_page_token_is_good_for_its_filters_only(jobs: JobsClient, verification: Verification) -> None:
    await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification() for _ in range(2)]))
    page = await jobs.ListJobs(ListJobsRequest(page_size=1))
    with pytest.raises(AioRpcError) as refused:
        await jobs.ListJobs(ListJobsRequest(page_size=1, page_token=page.next_page_token, filter={"queues": ["email"]}))
    assert "another filter" in (refused.value.details() or "")


async def test_a_name_with_nul_is_refused(jobs: JobsClient) -> None:
    with pytest.raises(AioRpcError) as refused:
        await jobs.ListJobs(ListJobsRequest(filter={"queues": ["a\0b"]}))
    assert refused.value.code() == StatusCode.INVALID_ARGUMENT


async def test_the_jobs_of_a_page_are_looked_for_beyond_those_that_do_not_match(
    jobs: JobsClient, verification: Verification, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SCAN", 5)
    oldest = await accepted(jobs, verification())
    await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification() for _ in range(40)]))
    put(database, oldest, "completed")
    request = ListJobsRequest(page_size=2, filter={"states": [job_pb2.JOB_STATE_COMPLETED]})
    assert [job.id for job in (await jobs.ListJobs(request)).jobs] == [oldest]
    monkeypatch.setattr(jobs_part, "SEARCH_TIMEOUT", -1.0)
    impatient = await jobs.ListJobs(request)
    assert (list(impatient.jobs), bool(impatient.next_page_token)) == ([], True)


async def test_a_page_of_large_jobs_is_cut_so_that_any_client_can_take_it(
    jobs: JobsClient, verification: Verification, database: str
) -> None:
    batch = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification() for _ in range(20)]))
    with psycopg.connect(database) as connection:
        payload = SendVerificationEmail(mail_id="x" * 262_000).SerializeToString()
        connection.execute("update headrace.jobs set payload = %s", (payload,))
    listed, token, pages = 0, "", 0
    while pages == 0 or token:
        page = await jobs.ListJobs(ListJobsRequest(page_size=100, page_token=token))
        listed, token, pages = listed + len(page.jobs), page.next_page_token, pages + 1
    assert listed == len(batch.results)
    assert pages == 2


class TestCancel:
    """Cancelling."""

    async def test_a_waiting_job_is_cancelled_at_once_and_only_once(
        self, jobs: JobsClient, verification: Verification
    ) -> None:
        job_id = await accepted(jobs, verification())
        first = (await jobs.CancelJob(CancelJobRequest(job_id=job_id))).job
        second = (await jobs.CancelJob(CancelJobRequest(job_id=job_id))).job
        assert first.state == job_pb2.JOB_STATE_CANCELLED
        assert first.HasField("finished_at")
        assert second == first

    async def test_a_running_job_is_asked_to_stop(
        self, jobs: JobsClient, verification: Verification, database: str
    ) -> None:
        job_id = await accepted(jobs, verification())
        put(database, job_id, "running")
        job = (await jobs.CancelJob(CancelJobRequest(job_id=job_id))).job
        assert job.state == job_pb2.JOB_STATE_RUNNING
        assert job.HasField("cancel_requested_at")

    @pytest.mark.parametrize("state", ["completed", "discarded", "quarantined"])
    async def test_a_finished_job_cannot_be_cancelled(
        self, jobs: JobsClient, verification: Verification, database: str, state: str
    ) -> None:
        job_id = await accepted(jobs, verification())
        put(database, job_id, state)
        with pytest.raises(AioRpcError) as refused:
            await jobs.CancelJob(CancelJobRequest(job_id=job_id))
        assert (refused.value.code(), reason(refused.value)) == (StatusCode.FAILED_PRECONDITION, "JOB_FINISHED")


class TestRetry:
    """Retrying by hand."""

    @pytest.mark.parametrize("state", ["cancelled", "discarded", "quarantined"])
    async def test_a_job_that_ended_without_success_can_be_retried(
        self, jobs: JobsClient, verification: Verification, database: str, state: str
    ) -> None:
        job_id = await accepted(jobs, verification())
        put(database, job_id, state)
        job = (await jobs.RetryJob(RetryJobRequest(job_id=job_id))).job
        assert (job.state, job.attempt, job.lease) == (job_pb2.JOB_STATE_AVAILABLE, 0, 1)

    async def test_an_available_job_is_left_as_it_is(self, jobs: JobsClient, verification: Verification) -> None:
        job_id = await accepted(jobs, verification())
        before = (await jobs.GetJob(GetJobRequest(job_id=job_id))).job
        assert (await jobs.RetryJob(RetryJobRequest(job_id=job_id))).job == before

    @pytest.mark.parametrize(("state", "why"), [("running", "JOB_RUNNING"), ("completed", "JOB_COMPLETED")])
    async def test_what_runs_or_is_done_cannot_be_retried(
        self, jobs: JobsClient, verification: Verification, database: str, state: str, why: str
    ) -> None:
        job_id = await accepted(jobs, verification())
        put(database, job_id, state)
        with pytest.raises(AioRpcError) as refused:
            await jobs.RetryJob(RetryJobRequest(job_id=job_id))
        assert (refused.value.code(), reason(refused.value)) == (StatusCode.FAILED_PRECONDITION, why)


async def test_a_queue_is_paused_and_resumed_any_number_of_times(jobs: JobsClient) -> None:
    first = (await jobs.PauseQueue(PauseQueueRequest(queue="email"))).queue
    again = (await jobs.PauseQueue(PauseQueueRequest(queue="email"))).queue
    assert (first.name, first.paused_by) == ("email", "api")
    assert again == first
    resumed = (await jobs.ResumeQueue(ResumeQueueRequest(queue="email"))).queue
    assert (resumed.name, resumed.paused_by, resumed.HasField("paused_at")) == ("email", "", False)
    assert (await jobs.ResumeQueue(ResumeQueueRequest(queue="email"))).queue == resumed


async def test_a_queue_without_a_proper_name_is_refused(jobs: JobsClient) -> None:
    for name in ("", "No", "a b", "x" * 101):
        with pytest.raises(AioRpcError) as refused:
            await jobs.PauseQueue(PauseQueueRequest(queue=name))
        assert refused.value.code() == StatusCode.INVALID_ARGUMENT


async def test_kinds_are_listed_with_the_values_in_force(serve: Serve, client_of: ClientOf) -> None:
    overrides = {"saas.jobs.v1.SendVerificationEmail": {"max_retries": 8, "timeout": "1m", "queue": "mail"}}
    async with serve(jobs_kind_overrides=overrides) as server, client_of(server) as jobs:
        kinds = (await jobs.ListKinds(ListKindsRequest())).kinds
    names = [kind.name for kind in kinds]
    (email,) = [kind for kind in kinds if kind.name == "saas.jobs.v1.SendVerificationEmail"]
    assert names == sorted(names)
    assert len(names) == 5
    assert (email.max_retries, email.timeout.seconds, email.queue, email.version, email.priority) == (
        8,
        60,
        "mail",
        1,
        2,
    )
