"""ExplainJob as clients see it: one reason with its evidence, for jobs and for enqueues that are only asked about."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import uuid4

import grpc
import pytest
from eventually import Eventually
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from jobs_server_fixtures import ClientOf, JobsClient, Serve, Verification

from headrace.jobs.v1 import explanation_pb2, job_pb2
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import (
    AttemptFailure,
    Explanation,
    Handlers,
    JobState,
    Kinds,
    Retry,
    RunningJob,
    Worker,
    WorkerSettings,
)
from headrace.queue.inspection import reasons
from jobs_service.convert.explanations import write_explanation
from jobs_service.server.program import JobsServer
from saas.jobs.v1 import kinds_pb2
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

KIND = "saas.jobs.v1.SendVerificationEmail"
NOW = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)


class Mails:
    """A worker's handler for mails, which a test holds back or has fail."""

    def __init__(self, database: str) -> None:
        self._database = database
        self.gate = asyncio.Event()
        self.gate.set()
        self.again = False

    async def send(self, message: SendVerificationEmail, job: RunningJob) -> Retry | None:  # noqa: ARG002
        await self.gate.wait()
        return Retry(after=timedelta(hours=1), error="the mail server is away") if self.again else None

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncIterator[None]:
        """A worker for the length of a block, drained in the end."""
        handlers = Handlers(Kinds.of_file(kinds_pb2.DESCRIPTOR))
        handlers.add(SendVerificationEmail, self.send)
        worker = Worker(self._database, handlers, settings=WorkerSettings(**settings))
        run = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            self.gate.set()
            worker.stop()
            await run


@pytest.fixture
def mails(database: str) -> Mails:
    """The handler."""
    return Mails(database)


async def explained(jobs: JobsClient, job_id: str) -> Any:
    return (await jobs.ExplainJob(pb.ExplainJobRequest(job_id=job_id))).explanation


async def becomes(eventually: Eventually, jobs: JobsClient, job_id: str, reason: str) -> Any:
    """Waits until that is the reason. Returns its evidence."""

    async def so() -> bool:
        return bool((await explained(jobs, job_id)).WhichOneof("reason") == reason)

    await eventually(so)
    return getattr(await explained(jobs, job_id), reason)


async def enqueued(jobs: JobsClient, request: pb.EnqueueRequest) -> str:
    job_id: str = (await jobs.Enqueue(request)).job_id
    return job_id


async def test_the_way_of_a_job_as_it_is_explained(
    jobs: JobsClient, verification: Verification, mails: Mails, eventually: Eventually
) -> None:
    mails.gate.clear()
    mails.again = True
    await jobs.PauseKind(pb.PauseKindRequest(kind=KIND))
    job_id = await enqueued(jobs, verification())
    answer = await jobs.ExplainJob(pb.ExplainJobRequest(job_id=job_id))
    assert (answer.job.id, answer.job.state) == (job_id, job_pb2.JOB_STATE_AVAILABLE)
    paused = answer.explanation.paused
    assert (paused.scope, paused.name, paused.paused_by, paused.others) == ("kind", KIND, "api", 0)
    assert answer.explanation.summary.startswith(f"The kind {KIND} was paused by api ")
    await jobs.ResumeKind(pb.ResumeKindRequest(kind=KIND))
    unknown = (await explained(jobs, job_id)).kind_unknown
    assert (unknown.kind, unknown.live_workers, unknown.HasField("last_known_at")) == (KIND, 0, False)
    async with mails.worker(name="mailer:1"):
        running = await becomes(eventually, jobs, job_id, "running")
        assert running.worker == "mailer:1"
        assert running.deadline.ToDatetime() - running.claimed_at.ToDatetime() == timedelta(seconds=30)
        assert running.silence.ToTimedelta() < timedelta(seconds=5)
        assert not running.HasField("cancel_requested_at")
        mails.gate.set()
        waits = await becomes(eventually, jobs, job_id, "waits_for_retry")
        assert (waits.attempt, waits.max_attempts) == (1, 6)
        assert (waits.last_error.type, waits.last_error.message) == ("Retry", "the mail server is away")
        mails.again = False
        await jobs.RetryJob(pb.RetryJobRequest(job_id=job_id))
        finished = await becomes(eventually, jobs, job_id, "finished")
    assert finished.state == job_pb2.JOB_STATE_COMPLETED
    assert finished.finished_at == (await jobs.GetJob(pb.GetJobRequest(job_id=job_id))).job.finished_at


async def test_the_jobs_before_a_job_are_counted_in_its_explanation(
    jobs: JobsClient, verification: Verification, mails: Mails, eventually: Eventually
) -> None:
    mails.gate.clear()
    await jobs.UpdateQueue(pb.UpdateQueueRequest(queue="email", max_running=1))
    async with mails.worker(slots=2):
        await becomes(eventually, jobs, await enqueued(jobs, verification()), "running")
        first, second = await enqueued(jobs, verification()), await enqueued(jobs, verification())
        assert (await explained(jobs, first)).queue_full == explanation_pb2.Explanation.QueueFull(
            queue="email", max_running=1
        )
        assert (await explained(jobs, second)).queue_full.jobs_before == 1
        await jobs.UpdateQueue(pb.UpdateQueueRequest(queue="email", max_running=0))
        await becomes(eventually, jobs, first, "running")

        async def busy() -> bool:
            behind = (await explained(jobs, second)).behind
            return bool(behind.workers == 1 and behind.free_slots == 0)

        await eventually(busy)
        third = await enqueued(jobs, verification())
        behind = (await explained(jobs, third)).behind
        assert (behind.jobs_before, behind.more, behind.HasField("eta")) == (1, False, False)
        elsewhere = (await explained(jobs, await enqueued(jobs, verification(queue="elsewhere")))).queue_unserved
        assert (elsewhere.queue, list(elsewhere.served_queues)) == ("elsewhere", ["email"])


async def test_workers_with_jobs_disabled_are_named(
    jobs: JobsClient, verification: Verification, mails: Mails, eventually: Eventually
) -> None:
    job_id = await enqueued(jobs, verification())
    async with mails.worker(enabled=False, name="idle:1"):
        disabled = await becomes(eventually, jobs, job_id, "jobs_disabled")
    assert list(disabled.workers) == ["idle:1"]


async def test_a_job_for_later_says_when(jobs: JobsClient, verification: Verification) -> None:
    request = verification()
    request.run_at.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    scheduled = (await explained(jobs, await enqueued(jobs, request))).scheduled
    assert scheduled.run_at.seconds == request.run_at.seconds


async def test_an_enqueue_is_asked_about_without_being_made(jobs: JobsClient, verification: Verification) -> None:
    request = verification(idempotency_key="k")
    answer = await jobs.ExplainJob(pb.ExplainJobRequest(enqueue=request))
    assert not answer.HasField("job")
    assert answer.explanation.WhichOneof("reason") == "not_enqueued"
    assert not (await jobs.ListJobs(pb.ListJobsRequest())).jobs
    job_id = await enqueued(jobs, request)
    answer = await jobs.ExplainJob(pb.ExplainJobRequest(enqueue=request))
    duplicate = answer.explanation.duplicate
    assert (answer.job.id, duplicate.job_id, duplicate.by) == (job_id, job_id, "key")
    assert duplicate.state == job_pb2.JOB_STATE_AVAILABLE
    assert timedelta(days=6) < duplicate.until.ToDatetime(tzinfo=UTC) - datetime.now(UTC) <= timedelta(days=7)
    await jobs.DeleteJob(pb.DeleteJobRequest(job_id=job_id))
    gone = (await jobs.ExplainJob(pb.ExplainJobRequest(enqueue=request))).explanation.duplicate
    assert (gone.job_id, gone.HasField("state")) == (job_id, False)


async def test_a_unique_enqueue_names_the_job_that_holds_it(jobs: JobsClient, verification: Verification) -> None:
    request = verification(unique=pb.Unique(period=Duration(seconds=3600)))
    job_id = await enqueued(jobs, request)
    answer = await jobs.ExplainJob(pb.ExplainJobRequest(enqueue=request))
    duplicate = answer.explanation.duplicate
    assert (duplicate.job_id, duplicate.by) == (job_id, "unique")
    created = answer.job.created_at.ToDatetime()
    assert duplicate.until.ToDatetime() == created + timedelta(hours=1)


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, list[str]]:
    """The code, the reason and the fields of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return caught.value.code(), info.reason, [each.field for each in bad.field_violations]


async def test_an_enqueue_that_would_be_refused_is_refused_alike(
    jobs_server: JobsServer, client_of: ClientOf, jobs: JobsClient, verification: Verification
) -> None:
    wrong = verification(mail_id="no uuid", priority=9)
    assert await refused(jobs.ExplainJob(pb.ExplainJobRequest(enqueue=wrong))) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        ["enqueue.priority", "enqueue.payload.mail_id"],
    )
    code, reason, fields = await refused(jobs.ExplainJob(pb.ExplainJobRequest(enqueue=verification(mail_id="no uuid"))))
    assert (code, reason, fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "PAYLOAD_INVALID",
        ["enqueue.payload.mail_id"],
    )
    await jobs.Enqueue(verification(idempotency_key="k"))
    reused = pb.ExplainJobRequest(enqueue=verification(idempotency_key="k"))
    assert (await refused(jobs.ExplainJob(reused)))[:2] == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "IDEMPOTENCY_KEY_REUSED",
    )
    unknown = verification()
    unknown.payload.type_url = "type.googleapis.com/saas.jobs.v1.Nothing"
    assert (await refused(jobs.ExplainJob(pb.ExplainJobRequest(enqueue=unknown))))[1] == "KIND_UNKNOWN"
    async with client_of(jobs_server, "mailer-token") as other:
        request = pb.ExplainJobRequest(enqueue=verification())
        assert (await refused(other.ExplainJob(request)))[0] == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("request_", "code", "fields"),
    [
        (pb.ExplainJobRequest(), grpc.StatusCode.INVALID_ARGUMENT, ["subject"]),
        (pb.ExplainJobRequest(job_id=""), grpc.StatusCode.INVALID_ARGUMENT, ["job_id"]),
        (pb.ExplainJobRequest(job_id=str(uuid4())), grpc.StatusCode.NOT_FOUND, []),
        (pb.ExplainJobRequest(job_id="17"), grpc.StatusCode.NOT_FOUND, []),
        (pb.ExplainJobRequest(enqueue=pb.EnqueueRequest()), grpc.StatusCode.INVALID_ARGUMENT, ["enqueue.payload"]),
    ],
)
async def test_what_cant_be_explained_is_refused(
    jobs: JobsClient, request_: pb.ExplainJobRequest, code: grpc.StatusCode, fields: list[str]
) -> None:
    found, _, named = await refused(jobs.ExplainJob(request_))
    assert (found, named) == (code, fields)


async def test_an_enqueue_into_a_full_queue_is_refused_alike(
    serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    async with serve(jobs_queue_depths={"email": 1}) as server, client_of(server) as jobs:
        await jobs.Enqueue(verification())
        request = pb.ExplainJobRequest(enqueue=verification())
        assert (await refused(jobs.ExplainJob(request)))[:2] == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "QUEUE_FULL",
        )


ERROR = AttemptFailure(attempt=2, lease=3, at=NOW, type="ValueError", message="no", traceback="here")
EVERY: list[reasons.Reason] = [
    reasons.Finished(JobState.DISCARDED, NOW, ERROR),
    reasons.Finished(JobState.COMPLETED, NOW, None),
    reasons.Quarantined(NOW, ERROR, 3),
    reasons.Hung("w", NOW, NOW),
    reasons.Running("w", NOW, NOW, timedelta(seconds=1), NOW),
    reasons.Scheduled(NOW),
    reasons.WaitsForRetry(NOW, 1, 4, ERROR),
    reasons.Pending(),
    reasons.Paused("queue", "email", NOW, "ann", 1),
    reasons.KindNotKnown(KIND, 2, NOW),
    reasons.VersionNotKnown(KIND, 7, 1),
    reasons.QueueUnserved("email", ("webhooks",)),
    reasons.JobsDisabled(("w",)),
    reasons.QueueFull("email", 2, 3, more=True),
    reasons.Behind(3, True, 2.5, timedelta(seconds=4), 0, 2, 1),
    reasons.Next(NOW),
    reasons.Duplicate(17, JobState.RUNNING, "key", NOW),
    reasons.NotEnqueued(),
]


def test_the_contract_has_every_reason_of_the_engine_with_all_its_evidence() -> None:
    written = [write_explanation(Explanation(None, reason, NOW)) for reason in EVERY]
    assert {type(reason) for reason in EVERY} == set(get_args(reasons.Reason))
    names = {field.name for field in explanation_pb2.Explanation.DESCRIPTOR.oneofs_by_name["reason"].fields}
    assert {each.WhichOneof("reason") for each in written} == names
    for explanation in written:
        evidence = getattr(explanation, explanation.WhichOneof("reason"))
        unset = {field.name for field in evidence.DESCRIPTOR.fields} - {
            field.name for field, _ in evidence.ListFields()
        }
        allowed = {"free_slots"} if explanation.HasField("behind") else set()
        if explanation.HasField("finished") and evidence.state == job_pb2.JOB_STATE_COMPLETED:
            allowed = {"last_error"}
        assert unset == allowed, explanation
        assert explanation.summary
