"""Every administrative act is recorded with who did it, in the act's own transaction, and can be looked up."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from google.protobuf import any_pb2
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from grpc.aio import AioRpcError
from jobs_server_fixtures import JobsClient

from headrace.jobs.v1 import job_pb2, periodic_job_pb2
from headrace.jobs.v1 import jobs_service_pb2 as pb
from jobs_service.callers.caller import METHODS
from saas.jobs.v1.kinds_pb2 import ReconcileStripe

Verification = Callable[..., pb.EnqueueRequest]

READS = {"Enqueue", "EnqueueBatch", "ExplainJob", *(name for name in METHODS if name.startswith(("Get", "List")))}
KIND = "saas.jobs.v1.SendVerificationEmail"


def periodic() -> periodic_job_pb2.PeriodicJob:
    payload = any_pb2.Any()
    payload.Pack(ReconcileStripe())
    return periodic_job_pb2.PeriodicJob(name="nightly", payload=payload, cron="0 3 * * *")


def states(*chosen: job_pb2.JobState) -> job_pb2.JobFilter:
    return job_pb2.JobFilter(states=chosen)


async def test_every_method_that_changes_something_is_recorded(jobs: JobsClient, verification: Verification) -> None:
    one, *_ = [(await jobs.Enqueue(verification())).job_id for _ in range(3)]
    began = datetime.now(UTC)
    acts: list[tuple[str, Any, str, int]] = [
        ("CancelJob", pb.CancelJobRequest(job_id=one), f"job:{one}", 1),
        ("RetryJob", pb.RetryJobRequest(job_id=one), f"job:{one}", 1),
        ("DeleteJob", pb.DeleteJobRequest(job_id=one), f"job:{one}", 1),
        ("CancelJobs", pb.CancelJobsRequest(filter=states(job_pb2.JOB_STATE_AVAILABLE)), "filter", 2),
        ("RetryJobs", pb.RetryJobsRequest(filter=states(job_pb2.JOB_STATE_CANCELLED)), "filter", 2),
        ("DeleteJobs", pb.DeleteJobsRequest(filter=job_pb2.JobFilter(kinds=[KIND])), "filter", 2),
        ("UpdateQueue", pb.UpdateQueueRequest(queue="email", max_running=3), "queue:email", 0),
        ("PauseQueue", pb.PauseQueueRequest(queue="email"), "queue:email", 0),
        ("ResumeQueue", pb.ResumeQueueRequest(queue="email"), "queue:email", 0),
        ("PauseKind", pb.PauseKindRequest(kind=KIND), f"kind:{KIND}", 0),
        ("ResumeKind", pb.ResumeKindRequest(kind=KIND), f"kind:{KIND}", 0),
        ("PauseAll", pb.PauseAllRequest(), "all", 0),
        ("ResumeAll", pb.ResumeAllRequest(), "all", 0),
        ("CreatePeriodicJob", pb.CreatePeriodicJobRequest(periodic_job=periodic()), "periodic:nightly", 0),
        ("UpdatePeriodicJob", pb.UpdatePeriodicJobRequest(periodic_job=periodic()), "periodic:nightly", 0),
        ("PausePeriodicJob", pb.PausePeriodicJobRequest(name="nightly"), "periodic:nightly", 0),
        ("ResumePeriodicJob", pb.ResumePeriodicJobRequest(name="nightly"), "periodic:nightly", 0),
        ("DeletePeriodicJob", pb.DeletePeriodicJobRequest(name="nightly"), "periodic:nightly", 0),
    ]
    assert {method for method, *_ in acts} == set(METHODS) - READS
    for method, request, _, _ in acts:
        await getattr(jobs, method)(request)
    entries = (await jobs.ListAuditEntries(pb.ListAuditEntriesRequest())).entries
    recorded = [(entry.action, entry.subject, entry.jobs) for entry in reversed(entries)]
    assert recorded == [(method, subject, changed) for method, _, subject, changed in acts]
    assert {entry.actor for entry in entries} == {"api"}
    assert all(entry.at.ToDatetime(tzinfo=UTC) >= began for entry in entries)
    cancelled = next(entry for entry in entries if entry.action == "CancelJobs")
    assert MessageToDict(cancelled.details) == {"filter": {"states": ["JOB_STATE_AVAILABLE"]}}


async def test_what_is_refused_and_what_is_only_counted_is_not_recorded(
    jobs: JobsClient, verification: Verification
) -> None:
    job_id = (await jobs.Enqueue(verification())).job_id
    await jobs.CancelJobs(pb.CancelJobsRequest(filter=states(job_pb2.JOB_STATE_AVAILABLE), dry_run=True))
    for request in (pb.RetryJobRequest(job_id="999999"), pb.RetryJobRequest(job_id="x")):
        with pytest.raises(AioRpcError):
            await jobs.RetryJob(request)
    assert not (await jobs.ListAuditEntries(pb.ListAuditEntriesRequest())).entries
    assert (await jobs.GetJob(pb.GetJobRequest(job_id=job_id))).job.state == job_pb2.JOB_STATE_AVAILABLE


async def test_an_act_that_cannot_be_recorded_does_not_happen(
    jobs: JobsClient, database: str, verification: Verification
) -> None:
    job_id = (await jobs.Enqueue(verification())).job_id
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("alter table headrace.audit_log add constraint no_api check (actor <> 'api')")
    with pytest.raises(AioRpcError):
        await jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))
    assert (await jobs.GetJob(pb.GetJobRequest(job_id=job_id))).job.state == job_pb2.JOB_STATE_AVAILABLE


async def test_acts_are_found_by_actor_and_subject_page_by_page(jobs: JobsClient) -> None:
    for queue in ("a", "b", "a", "a"):
        await jobs.PauseQueue(pb.PauseQueueRequest(queue=queue))

    async def found(**conditions: Any) -> list[str]:
        subjects: list[str] = []
        request = pb.ListAuditEntriesRequest(page_size=2, **conditions)
        while True:
            page = await jobs.ListAuditEntries(request)
            assert len(page.entries) <= 2
            subjects += [entry.subject for entry in page.entries]
            if not page.next_page_token:
                return subjects
            request.page_token = page.next_page_token

    assert await found() == ["queue:a", "queue:a", "queue:b", "queue:a"]
    assert await found(subject="queue:a", actor="api") == ["queue:a"] * 3
    assert await found(subject="queue:c") == []
    assert await found(actor="mailer") == []


@pytest.mark.parametrize(
    "conditions", [{"actor": "a\0"}, {"subject": "\0"}, {"page_size": 501}, {"page_token": "x"}, {"actor": "a" * 201}]
)
async def test_bad_conditions_are_refused_by_field(jobs: JobsClient, conditions: dict[str, Any]) -> None:
    with pytest.raises(AioRpcError) as refused:
        await jobs.ListAuditEntries(pb.ListAuditEntriesRequest(**conditions))
    assert refused.value.code() is StatusCode.INVALID_ARGUMENT


async def test_a_page_token_is_good_for_its_own_conditions_only(jobs: JobsClient) -> None:
    for _ in range(2):
        await jobs.PauseAll(pb.PauseAllRequest())
    token = (await jobs.ListAuditEntries(pb.ListAuditEntriesRequest(page_size=1))).next_page_token
    for request in (
        jobs.ListAuditEntries(pb.ListAuditEntriesRequest(subject="all", page_token=token)),
        jobs.ListJobs(pb.ListJobsRequest(page_token=token)),
    ):
        with pytest.raises(AioRpcError) as refused:
            await request
        assert refused.value.code() is StatusCode.INVALID_ARGUMENT
