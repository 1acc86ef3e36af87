"""Both clients against the real jobs server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from google.protobuf import any_pb2

from headrace.client import (
    Enqueued,
    InvalidRequestError,
    KeyReusedError,
    KindUnknownError,
    NewJob,
    NotActionableError,
    NotAllowedError,
    NotFoundError,
    Unique,
    WaitTimeoutError,
)
from headrace.jobs.v1.job_pb2 import JOB_STATE_AVAILABLE, JOB_STATE_CANCELLED, JOB_STATE_SCHEDULED, JobFilter
from headrace.jobs.v1.jobs_service_pb2 import (
    DUPLICATE_BY_KEY,
    DUPLICATE_BY_UNIQUE,
    PauseQueueRequest,
    PauseQueueResponse,
    ResumeQueueRequest,
    ResumeQueueResponse,
)
from saas.jobs.v1.kinds_pb2 import ReconcileStripe, SendVerificationEmail


def mail() -> SendVerificationEmail:
    return SendVerificationEmail(mail_id=str(uuid4()))


async def test_a_job_is_there_once_enqueue_has_returned(jobs: Any) -> None:
    payload = mail()
    enqueued = await jobs.enqueue(payload)
    job = await jobs.get(enqueued.job_id)
    sent = SendVerificationEmail()
    assert job.payload.Unpack(sent)
    assert (sent, job.kind, job.caller) == (payload, "saas.jobs.v1.SendVerificationEmail", "tests")
    assert not enqueued.duplicate
    assert enqueued.key


async def test_every_option_arrives(jobs: Any) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    enqueued = await jobs.enqueue(
        mail(),
        queue="slow",
        priority=4,
        max_retries=7,
        timeout=timedelta(seconds=90),
        run_at=at,
        tags=["import", "night"],
        metadata={"tenant": "acme", "rows": [1, 2.5, None]},
    )
    job = await jobs.get(enqueued.job_id)
    assert (job.queue, job.priority, job.max_retries, job.state) == ("slow", 4, 7, JOB_STATE_SCHEDULED)
    assert job.timeout.ToTimedelta() == timedelta(seconds=90)
    assert abs(job.ready_at.ToDatetime(UTC) - at) < timedelta(milliseconds=1)
    assert [*job.tags] == ["import", "night"]
    assert dict(job.metadata)["tenant"] == "acme"


async def test_the_same_key_answers_the_same_job(jobs: Any) -> None:
    payload, key = mail(), str(uuid4())
    first = await jobs.enqueue(payload, key=key)
    again = await jobs.enqueue(payload, key=key)
    assert again == Enqueued(first.job_id, key, duplicate=True, duplicate_by=DUPLICATE_BY_KEY)
    with pytest.raises(KeyReusedError) as reused:
        await jobs.enqueue(mail(), key=key)
    assert reused.value.metadata["job_id"] == first.job_id
    assert reused.value.__notes__ == [f"idempotency key: {key}"]


async def test_a_unique_job_stands_for_one_like_it(jobs: Any) -> None:
    payload = mail()
    first = await jobs.enqueue(payload, unique=Unique(fields=["mail_id"], period=timedelta(hours=1)))
    again = await jobs.enqueue(payload, unique=Unique(fields=["mail_id"], period=timedelta(hours=1)))
    assert (again.job_id, again.duplicate_by) == (first.job_id, DUPLICATE_BY_UNIQUE)


async def test_a_refusal_names_every_field(jobs: Any) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await jobs.enqueue(SendVerificationEmail(mail_id="17"), priority=9, timeout=timedelta(days=2))
    assert {found.field for found in refused.value.violations} == {"payload.mail_id", "priority", "timeout"}
    assert "priority: must be" in str(refused.value)


async def test_a_kind_that_the_service_does_not_have(jobs: Any) -> None:
    with pytest.raises(KindUnknownError) as refused:
        await jobs.enqueue(any_pb2.Any(type_url="type.googleapis.com/acme.Nothing"))
    assert refused.value.reason == "KIND_UNKNOWN"
    assert "saas.jobs.v1.SendVerificationEmail" in refused.value.metadata["kinds"]


async def test_a_time_without_a_zone_is_refused_before_any_call(jobs: Any) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        await jobs.enqueue(mail(), run_at=datetime(2030, 1, 1))  # noqa: DTZ001


async def test_a_wrong_token_may_do_nothing(connect: Any, served: Any) -> None:
    async with connect(served.target, token="stolen") as stranger:
        with pytest.raises(NotAllowedError) as refused:
            await stranger.kinds()
    assert refused.value.reason == "TOKEN_UNKNOWN"


@pytest.mark.parametrize("token", ["client-token\n", "client token", "clé", ""])
async def test_a_token_that_no_header_can_carry_is_refused_by_the_client(connect: Any, served: Any, token: str) -> None:
    async with connect(served.target, token=token) as client:
        with pytest.raises(ValueError, match="the token is not printable ASCII without blanks"):
            await client.get("1")


async def test_a_token_may_be_replaced_while_the_client_lives(connect: Any, served: Any) -> None:
    tokens = iter(["old", "client-token"])
    async with connect(served.target, token=lambda: next(tokens)) as client:
        with pytest.raises(NotAllowedError):
            await client.kinds()
        assert await client.kinds()


async def test_many_jobs_are_answered_each_in_its_place(jobs: Any) -> None:
    wanted = [NewJob(mail()) for _ in range(1_203)]
    wanted[600] = NewJob(SendVerificationEmail(mail_id="17"))
    wanted[601] = NewJob(ReconcileStripe(), queue="NOT A QUEUE")
    results = await jobs.enqueue_many(wanted)
    assert len(results) == len(wanted)
    refused = {place: result for place, result in enumerate(results) if not isinstance(result, Enqueued)}
    assert {place: [each.field for each in error.violations] for place, error in refused.items()} == {
        600: ["payload.mail_id"],
        601: ["queue"],
    }
    assert [result.key for result in results[:3]] == [job.key for job in wanted[:3]]
    again = await jobs.enqueue_many(wanted[:3])
    assert [(each.job_id, each.duplicate) for each in again] == [(each.job_id, True) for each in results[:3]]


async def test_large_payloads_travel_in_several_batches(jobs: Any) -> None:
    metadata = {"text": "x" * 15_000}
    results = await jobs.enqueue_many([NewJob(mail(), metadata=metadata) for _ in range(40)])
    assert all(isinstance(result, Enqueued) for result in results)


async def test_no_jobs_are_no_call(jobs: Any) -> None:
    assert await jobs.enqueue_many([]) == []


async def test_lists_go_over_pages(jobs: Any) -> None:
    tag = f"page-{uuid4()}"
    results = await jobs.enqueue_many([NewJob(mail(), tags=[tag]) for _ in range(7)])
    listed = await jobs.list(JobFilter(tags=[tag], states=[JOB_STATE_AVAILABLE]), page_size=3)
    assert [job.id for job in listed] == sorted((each.job_id for each in results), key=int, reverse=True)


async def test_a_job_is_cancelled_retried_and_deleted(jobs: Any) -> None:
    job_id = (await jobs.enqueue(mail())).job_id
    assert (await jobs.cancel(job_id)).state == JOB_STATE_CANCELLED
    assert (await jobs.retry(job_id)).state == JOB_STATE_AVAILABLE
    await jobs.delete(job_id)
    with pytest.raises(NotFoundError) as gone:
        await jobs.get(job_id)
    assert gone.value.reason == "JOB_NOT_FOUND"


async def test_what_the_state_does_not_allow_is_said(jobs: Any, served: Any) -> None:
    job_id = (await jobs.enqueue(mail())).job_id
    await complete(served.database, job_id)
    with pytest.raises(NotActionableError) as refused:
        await jobs.cancel(job_id)
    assert refused.value.reason == "JOB_FINISHED"


async def test_wait_answers_the_job_when_it_has_ended(jobs: Any, served: Any) -> None:
    job_id = (await jobs.enqueue(mail())).job_id
    waiting = asyncio.create_task(jobs.wait(job_id, timeout=timedelta(seconds=20)))
    await complete(served.database, job_id)
    assert (await waiting).finished_at.ToDatetime(UTC) > datetime(2026, 1, 1, tzinfo=UTC)


async def test_wait_ends_with_the_job_as_it_was_seen_last(jobs: Any) -> None:
    job_id = (await jobs.enqueue(mail(), run_at=datetime.now(UTC) + timedelta(days=1))).job_id
    with pytest.raises(WaitTimeoutError, match=r"has not finished within 2 s: it is scheduled") as late:
        await jobs.wait(job_id, timeout=timedelta(seconds=2))
    assert late.value.job.id == job_id


async def test_explain_says_why_a_job_does_not_run(jobs: Any) -> None:
    job_id = (await jobs.enqueue(mail(), run_at=datetime.now(UTC) + timedelta(days=1))).job_id
    explanation = await jobs.explain(job_id)
    assert explanation.WhichOneof("reason") == "scheduled"


async def test_kinds_say_how_to_write_one(jobs: Any) -> None:
    kinds = {kind.name: kind for kind in await jobs.kinds()}
    assert [field.name for field in kinds["saas.jobs.v1.SendVerificationEmail"].fields] == ["mail_id"]


async def test_every_other_method_is_called_by_its_request(jobs: Any) -> None:
    paused = await jobs.call(PauseQueueRequest(queue="reports"), PauseQueueResponse)
    assert paused.queue.paused_by == "tests"
    resumed = await jobs.call(ResumeQueueRequest(queue="reports"), ResumeQueueResponse)
    assert not resumed.queue.HasField("paused_at")


async def test_what_is_no_request_is_a_type_error(jobs: Any) -> None:
    with pytest.raises(TypeError, match="no method of JobsService takes"):
        await jobs.call(mail(), PauseQueueResponse)


async def complete(database: str, job_id: str) -> None:
    """As a worker of ours would."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            "update headrace.jobs set state = 'completed', finished_at = now(), ready_xid = null where id = %s",
            [int(job_id)],
        )
