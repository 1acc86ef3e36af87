"""What an operator sees of queues, and sets for them."""

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from eventually import Eventually
from google.protobuf import duration_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from jobs_server_fixtures import ClientOf, JobsClient, Serve, Verification, Working

from headrace.jobs.v1 import job_pb2, queue_pb2
from headrace.jobs.v1.jobs_service_pb2 import (
    EnqueueBatchRequest,
    GetQueueStatsRequest,
    ListPausesRequest,
    ListQueuesRequest,
    PauseAllRequest,
    PauseKindRequest,
    PauseQueueRequest,
    ResumeAllRequest,
    ResumeKindRequest,
    UpdateQueueRequest,
)
from headrace.queue import RunningJob
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

OF_KINDS = ["email", "maintenance", "notifications", "webhooks"]
HOUR = timedelta(hours=1)


async def test_queues_of_kinds_of_jobs_and_of_operators_are_listed(
    jobs: JobsClient, verification: Verification
) -> None:
    await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification(queue=queue) for queue in ("slow", "a", "a")]))
    await jobs.PauseQueue(PauseQueueRequest(queue="rare"))
    queues = (await jobs.ListQueues(ListQueuesRequest())).queues
    assert [queue.name for queue in queues] == sorted([*OF_KINDS, "slow", "a", "rare"])
    assert [queue.name for queue in queues if queue.HasField("paused_at")] == ["rare"]


async def test_the_deployments_queue_limit_is_reported(serve: Serve, client_of: ClientOf) -> None:
    async with serve(jobs_queue_depths={"email": 5, "rare": 7}) as server, client_of(server) as jobs:
        queues = {queue.name: queue for queue in (await jobs.ListQueues(ListQueuesRequest())).queues}
        updated = (await jobs.UpdateQueue(UpdateQueueRequest(queue="email", max_running=1))).queue
    assert (queues["email"].max_depth, queues["rare"].max_depth, updated.max_depth) == (5, 7, 5)
    assert not queues["webhooks"].HasField("max_depth")


async def test_a_queues_limit_and_retention_are_set_each_for_itself_and_lifted(jobs: JobsClient, database: str) -> None:
    kept = queue_pb2.Retention(completed=HOUR, quarantined=3 * HOUR)
    limited = (await jobs.UpdateQueue(UpdateQueueRequest(queue="email", max_running=3))).queue
    assert (limited.max_running, limited.HasField("retention")) == (3, False)
    both = (await jobs.UpdateQueue(UpdateQueueRequest(queue="email", retention=kept))).queue
    assert (both.max_running, both.retention) == (3, kept)
    assert both in (await jobs.ListQueues(ListQueuesRequest())).queues
    assert (await jobs.PauseQueue(PauseQueueRequest(queue="email"))).queue.retention == kept
    freed = (await jobs.UpdateQueue(UpdateQueueRequest(queue="email", max_running=0))).queue
    assert (freed.HasField("max_running"), freed.retention) == (False, kept)
    plain = (await jobs.UpdateQueue(UpdateQueueRequest(queue="email", retention=queue_pb2.Retention()))).queue
    assert not plain.HasField("retention")
    with psycopg.connect(database) as connection:
        acts = connection.execute("select subject, details from headrace.audit_log order by id limit 2").fetchall()
    assert acts == [
        ("queue:email", {"queue": "email", "max_running": 3}),
        ("queue:email", {"queue": "email", "retention": {"completed": "3600s", "quarantined": "10800s"}}),
    ]


async def test_an_update_that_says_nothing_changes_nothing(jobs: JobsClient) -> None:
    assert (await jobs.UpdateQueue(UpdateQueueRequest(queue="email"))).queue == queue_pb2.Queue(name="email")


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_running": -1},
        {"max_running": 2**31 - 1},
        {"retention": queue_pb2.Retention(completed=duration_pb2.Duration(seconds=-1))},
        {"retention": queue_pb2.Retention(cancelled=duration_pb2.Duration(seconds=2**60))},
        {"queue": "a\0"},
    ],
)
async def test_an_update_out_of_range_is_refused(jobs: JobsClient, wrong: Any) -> None:
    with pytest.raises(AioRpcError) as refused:
        await jobs.UpdateQueue(UpdateQueueRequest(**{"queue": "email", **wrong}))
    assert refused.value.code() == StatusCode.INVALID_ARGUMENT


async def test_a_queue_has_a_count_of_available_jobs_and_its_longest_wait(
    jobs: JobsClient, verification: Verification, database: str
) -> None:
    await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification() for _ in range(3)]))
    with psycopg.connect(database) as connection:
        connection.execute("update headrace.jobs set ready_at = now() - interval '90 seconds' where id = 1")
    [stats] = (await jobs.GetQueueStats(GetQueueStatsRequest(queues=["email"]))).stats
    assert list(stats.counts) == [queue_pb2.StateCount(state=job_pb2.JOB_STATE_AVAILABLE, jobs=3)]
    assert 90 <= stats.oldest_wait.seconds < 120
    assert (stats.jobs_per_second, stats.workers, stats.HasField("drain_time")) == (0, 0, False)


async def test_a_long_queue_is_counted_up_to_a_bound_and_reported_as_longer(
    jobs: JobsClient, verification: Verification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs_service.rpc.queues.MOST_COUNTED", 2)
    await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification() for _ in range(3)]))
    [stats] = (await jobs.GetQueueStats(GetQueueStatsRequest(queues=["email"]))).stats
    assert list(stats.counts) == [queue_pb2.StateCount(state=job_pb2.JOB_STATE_AVAILABLE, jobs=2, more=True)]


async def test_all_queues_are_told_of_where_none_is_named(jobs: JobsClient, verification: Verification) -> None:
    await jobs.Enqueue(verification(queue="slow"))
    stats = (await jobs.GetQueueStats(GetQueueStatsRequest())).stats
    assert [each.queue for each in stats] == sorted([*OF_KINDS, "slow"])
    [empty] = (await jobs.GetQueueStats(GetQueueStatsRequest(queues=["nowhere"]))).stats
    assert (empty.queue, len(empty.counts), empty.HasField("oldest_wait")) == ("nowhere", 0, False)
    assert empty.drain_time == duration_pb2.Duration()


async def test_a_served_queue_has_a_rate_and_an_estimate_of_its_wait(
    jobs: JobsClient, verification: Verification, working: Working, eventually: Eventually
) -> None:
    async def send(message: SendVerificationEmail, job: RunningJob) -> None:
        await asyncio.sleep(0)

    await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification() for _ in range(50)]))

    async def has_a_rate() -> bool:
        [stats] = (await jobs.GetQueueStats(GetQueueStatsRequest(queues=["email"]))).stats
        counts = {each.state: each.jobs for each in stats.counts}
        return bool(
            stats.jobs_per_second > 0
            and stats.workers == 1
            and counts == {job_pb2.JOB_STATE_COMPLETED: 50}
            and stats.drain_time == duration_pb2.Duration()
        )

    async with working(SendVerificationEmail=send):
        await eventually(has_a_rate)


async def test_kinds_and_everything_are_paused_listed_and_resumed(jobs: JobsClient, database: str) -> None:
    kind = "saas.jobs.v1.ReconcileStripe"
    paused_kind = (await jobs.PauseKind(PauseKindRequest(kind=kind))).pause
    paused_all = (await jobs.PauseAll(PauseAllRequest())).pause
    await jobs.PauseQueue(PauseQueueRequest(queue="email"))
    assert (paused_kind.kind, paused_kind.paused_by) == (kind, "api")
    assert (paused_all.all, paused_all.paused_by) == (True, "api")
    assert (await jobs.PauseAll(PauseAllRequest())).pause == paused_all
    pauses = (await jobs.ListPauses(ListPausesRequest())).pauses
    assert [pause.WhichOneof("scope") for pause in pauses] == ["all", "kind", "queue"]
    assert (pauses[0], pauses[1], pauses[2].queue) == (paused_all, paused_kind, "email")
    assert (await jobs.ResumeKind(ResumeKindRequest(kind=kind))).was_paused
    assert not (await jobs.ResumeKind(ResumeKindRequest(kind=kind))).was_paused
    assert (await jobs.ResumeAll(ResumeAllRequest())).was_paused
    assert not (await jobs.ResumeAll(ResumeAllRequest())).was_paused
    assert [pause.queue for pause in (await jobs.ListPauses(ListPausesRequest())).pauses] == ["email"]
    with psycopg.connect(database) as connection:
        acts = connection.execute("select action, subject from headrace.audit_log order by id").fetchall()
    assert acts[:3] == [("PauseKind", f"kind:{kind}"), ("PauseAll", "all"), ("PauseQueue", "queue:email")]


async def test_a_kind_that_can_be_none_is_not_paused(jobs: JobsClient) -> None:
    for name in ("", "a b", "a\0b", "a..b", "x" * 201):
        for method, request in (("PauseKind", PauseKindRequest), ("ResumeKind", ResumeKindRequest)):
            with pytest.raises(AioRpcError) as refused:
                await getattr(jobs, method)(request(kind=name))
            assert refused.value.code() == StatusCode.INVALID_ARGUMENT
