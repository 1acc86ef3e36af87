"""What a caller may say about a job beside its payload, and finds on it again."""

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from eventually import Eventually
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status
from jobs_server_fixtures import JobsClient, Verification, Working

from headrace.jobs.v1 import job_pb2
from headrace.jobs.v1.jobs_service_pb2 import (
    DUPLICATE_BY_KEY,
    DUPLICATE_BY_UNIQUE,
    DUPLICATE_BY_UNSPECIFIED,
    EnqueueRequest,
    GetJobRequest,
    ListJobsRequest,
    Unique,
)
from headrace.queue import Done, RunningJob
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail


def bad_fields(error: AioRpcError) -> dict[str, str]:
    found: dict[str, str] = {}
    for packed in rpc_status.from_call(error).details:
        detail = error_details_pb2.BadRequest()
        if packed.Unpack(detail):
            found |= {each.field: each.description for each in detail.field_violations}
    return found


async def refused(call: Awaitable[object]) -> AioRpcError:
    with pytest.raises(AioRpcError) as caught:
        await call
    return caught.value


async def test_tags_and_metadata_are_kept_with_the_job(jobs: JobsClient, verification: Verification) -> None:
    metadata = {"tenant": "acme", "sizes": [1, 2.5], "deep": {"yes": True, "nothing": None}, "big": 2**53}
    request = verification(tags=["tenant:acme", "b"], metadata=ParseDict(metadata, struct_pb2.Struct()))
    job = (await jobs.GetJob(GetJobRequest(job_id=(await jobs.Enqueue(request)).job_id))).job
    assert list(job.tags) == ["tenant:acme", "b"]
    assert MessageToDict(job.metadata) == metadata


async def test_whole_numbers_are_integers_in_the_database(
    jobs: JobsClient, verification: Verification, database: str
) -> None:
    await jobs.Enqueue(verification(metadata=ParseDict({"n": 3, "x": 0.5}, struct_pb2.Struct())))
    with psycopg.connect(database) as connection:
        assert connection.execute("select metadata::text from headrace.jobs").fetchone() == ('{"n": 3, "x": 0.5}',)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (struct_pb2.Value(number_value=float("nan")), "is not a JSON number"),
        (struct_pb2.Value(number_value=float("inf")), "is not a JSON number"),
        (struct_pb2.Value(), "a value is unset"),
        (struct_pb2.Value(string_value="a\0b"), "NUL"),
        (struct_pb2.Value(string_value="x" * 20_000), "the limit is 16384"),
    ],
)
async def test_metadata_that_cannot_be_kept_is_refused(
    jobs: JobsClient, verification: Verification, value: Any, why: str
) -> None:
    error = await refused(jobs.Enqueue(verification(metadata=struct_pb2.Struct(fields={"a": value}))))
    assert error.code() == StatusCode.INVALID_ARGUMENT
    assert why in bad_fields(error)["metadata"]


async def test_a_list_can_be_narrowed_by_tags_and_times(
    jobs: JobsClient, verification: Verification, database: str
) -> None:
    old, new = [(await jobs.Enqueue(verification(tags=tags))).job_id for tags in (["a"], ["a", "b"])]
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    with psycopg.connect(database) as connection:
        for job_id, at in ((old, noon - timedelta(hours=1)), (new, noon)):
            connection.execute("update headrace.jobs set created_at = %s where id = %s", (at, job_id))

    async def ids(**wanted: Any) -> list[str]:
        return [job.id for job in (await jobs.ListJobs(ListJobsRequest(filter=job_pb2.JobFilter(**wanted)))).jobs]

    assert await ids(tags=["a"]) == [new, old]
    assert await ids(tags=["a", "b"]) == [new]
    assert await ids(created_after=noon) == [new]
    assert await ids(created_before=noon) == [old]
    assert await ids(created_after=datetime.min.replace(tzinfo=UTC)) == [new, old]
    assert await ids(created_before=datetime.max.replace(tzinfo=UTC)) == [new, old]


async def test_a_time_that_is_none_is_refused(jobs: JobsClient) -> None:
    wrong = ListJobsRequest()
    wrong.filter.created_after.seconds = 2**60
    wrong.filter.created_before.seconds = -(2**60)
    error = await refused(jobs.ListJobs(wrong))
    assert error.code() == StatusCode.INVALID_ARGUMENT
    assert bad_fields(error).keys() == {"filter.created_after", "filter.created_before"}


async def test_a_repeated_key_and_an_equal_job_are_told_apart(jobs: JobsClient, verification: Verification) -> None:
    mail_id = str(uuid4())
    first = await jobs.Enqueue(verification(mail_id=mail_id, idempotency_key="k", unique=Unique()))
    again = await jobs.Enqueue(verification(mail_id=mail_id, idempotency_key="k", unique=Unique()))
    equal = await jobs.Enqueue(verification(mail_id=mail_id, idempotency_key="other", unique=Unique()))
    assert (first.duplicate, first.duplicate_by) == (False, DUPLICATE_BY_UNSPECIFIED)
    assert (again.job_id, again.duplicate, again.duplicate_by) == (first.job_id, True, DUPLICATE_BY_KEY)
    assert (equal.job_id, equal.duplicate, equal.duplicate_by) == (first.job_id, True, DUPLICATE_BY_UNIQUE)


async def test_what_counts_for_uniqueness_is_chosen_by_the_caller(
    jobs: JobsClient, verification: Verification, database: str
) -> None:
    def request(queue: str, **rule: Any) -> EnqueueRequest:
        mail = SendVerificationEmail(mail_id="6a0d0d53-54b6-4d02-9d0f-6ef3ea2c1c4c").mail_id
        made: EnqueueRequest = verification(mail_id=mail, queue=queue, unique=Unique(**rule))
        return made

    first = await jobs.Enqueue(request("a", fields=["mail_id"], by_queue=True))
    assert not (await jobs.Enqueue(request("b", fields=["mail_id"], by_queue=True))).duplicate
    assert (await jobs.Enqueue(request("a", fields=["mail_id"], by_queue=True))).job_id == first.job_id
    with psycopg.connect(database) as connection:
        connection.execute("update headrace.jobs set state = 'completed', ready_xid = null, finished_at = now()")
    hour = timedelta(hours=1)
    assert (await jobs.Enqueue(request("a", fields=["mail_id"], by_queue=True, period=hour))).job_id == first.job_id
    assert not (await jobs.Enqueue(request("a", fields=["mail_id"], by_queue=True))).duplicate


async def test_every_wrong_part_of_a_uniqueness_is_named_as_the_contract_has_it(
    jobs: JobsClient, verification: Verification
) -> None:
    wrong = Unique(fields=["colour"], period=timedelta(days=5000), states=[job_pb2.JOB_STATE_RUNNING])
    error = await refused(jobs.Enqueue(verification(unique=wrong)))
    assert error.code() == StatusCode.INVALID_ARGUMENT
    assert bad_fields(error).keys() == {"unique.fields", "unique.period", "unique.states"}


async def test_a_uniqueness_beyond_the_rules_is_refused_by_its_fields(
    jobs: JobsClient, verification: Verification
) -> None:
    request = verification()
    request.unique.period.seconds = 2**60
    request.unique.states.append(99)  # type: ignore[arg-type]  # of a newer contract
    error = await refused(jobs.Enqueue(request))
    assert error.code() == StatusCode.INVALID_ARGUMENT
    assert bad_fields(error).keys() == {"unique.period", "unique.states[0]"}


async def test_what_a_handler_said_is_seen_on_the_job(
    jobs: JobsClient, verification: Verification, working: Working, eventually: Eventually
) -> None:
    async def send(message: SendVerificationEmail, job: RunningJob) -> Done:
        job.report_progress({"percent": 50})
        return Done({"message_id": "<1@shop>", "parts": [1, None]})

    job_id = (await jobs.Enqueue(verification())).job_id

    async def is_done() -> bool:
        job = (await jobs.GetJob(GetJobRequest(job_id=job_id))).job
        return bool(job.state == job_pb2.JOB_STATE_COMPLETED)

    async with working(SendVerificationEmail=send):
        await eventually(is_done)
    job = (await jobs.GetJob(GetJobRequest(job_id=job_id))).job
    assert MessageToDict(job.output) == {"message_id": "<1@shop>", "parts": [1, None]}
    assert MessageToDict(job.progress) == {"percent": 50}
    assert job.deaths == 0


async def test_a_job_of_which_nothing_was_said_has_none_of_it(jobs: JobsClient, verification: Verification) -> None:
    job = (await jobs.GetJob(GetJobRequest(job_id=(await jobs.Enqueue(verification())).job_id))).job
    assert not any(job.HasField(field) for field in ("metadata", "output", "progress"))
    assert not job.tags


@pytest.mark.parametrize("priority", [None, 9], ids=["the engine's alone", "with those of the .proto file's rules"])
async def test_every_violation_is_told_at_once_whoever_finds_it(
    jobs: JobsClient, verification: Verification, priority: int | None
) -> None:
    request = verification(
        mail_id="nope",
        priority=priority,
        tags=["fine", "a\nb"],
        unique=Unique(fields=["nope"]),
        metadata=struct_pb2.Struct(fields={"a": struct_pb2.Value(string_value="a\0b")}),
        run_at=datetime(9000, 1, 1, tzinfo=UTC),
    )
    error = await refused(jobs.Enqueue(request))
    assert error.code() == StatusCode.INVALID_ARGUMENT
    expected = {"payload.mail_id", "tags[1]", "unique.fields", "metadata", "run_at"}
    assert bad_fields(error).keys() == expected | ({"priority"} if priority else set())
