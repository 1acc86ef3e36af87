"""Periodic jobs, as an operator makes, changes and watches them."""

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from eventually import Eventually
from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status
from jobs_server_fixtures import ClientOf, JobsClient, Serve, Working

from headrace.chassis.rpc.validation import request_violations
from headrace.jobs.v1 import job_pb2, periodic_job_pb2
from headrace.jobs.v1.jobs_service_pb2 import (
    CreatePeriodicJobRequest,
    DeletePeriodicJobRequest,
    GetPeriodicJobRequest,
    ListJobsRequest,
    ListPeriodicJobsRequest,
    PausePeriodicJobRequest,
    ResumePeriodicJobRequest,
    UpdatePeriodicJobRequest,
)
from headrace.jobs.v1.periodic_job_pb2 import PeriodicJob
from headrace.queue import RunningJob
from saas.jobs.v1.kinds_pb2 import ProcessStripeWebhook, ReconcileStripe

HOUR = timedelta(hours=1)
BERLIN_MORNINGS = {"cron": "30 6 * * 1-5", "time_zone": "Europe/Berlin"}


def packed(message: Any) -> any_pb2.Any:
    payload = any_pb2.Any()
    payload.Pack(message)
    return payload


def periodic(name: str = "reconcile", **definition: Any) -> PeriodicJob:
    payload = definition.pop("payload", None) or packed(ReconcileStripe())
    return PeriodicJob(name=name, payload=payload, **(definition or {"every": HOUR}))


async def created(jobs: JobsClient, *args: Any, **definition: Any) -> PeriodicJob:
    request = CreatePeriodicJobRequest(periodic_job=periodic(*args, **definition))
    made: PeriodicJob = (await jobs.CreatePeriodicJob(request)).periodic_job
    return made


def why(error: AioRpcError) -> tuple[str, dict[str, str]]:
    reason, fields = "", {}
    for detail in rpc_status.from_call(error).details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        if detail.Unpack(bad):
            fields = {each.field: each.description for each in bad.field_violations}
    return reason, fields


async def refused(call: Awaitable[object]) -> AioRpcError:
    with pytest.raises(AioRpcError) as caught:
        await call
    return caught.value


async def test_a_periodic_job_is_made_and_found_with_its_next_runs(jobs: JobsClient) -> None:
    made = await created(jobs, "mornings", missed_runs=periodic_job_pb2.MISSED_RUNS_SKIP, **BERLIN_MORNINGS)
    assert (made.cron, made.time_zone, made.declared) == ("30 6 * * 1-5", "Europe/Berlin", False)
    assert made.missed_runs == periodic_job_pb2.MISSED_RUNS_SKIP
    assert not made.HasField("last_run")
    found = (await jobs.GetPeriodicJob(GetPeriodicJobRequest(name="mornings", runs=6))).periodic_job
    runs = [run.ToDatetime(tzinfo=UTC) for run in found.next_runs]
    assert (len(runs), runs) == (6, sorted(runs))
    assert {run.minute for run in runs} == {30}
    assert not {run.weekday() for run in runs} & {5, 6}
    assert (made.next_runs[0], made.payload) == (found.next_runs[0], packed(ReconcileStripe()))


async def test_all_are_listed_by_name(jobs: JobsClient) -> None:
    await created(jobs, "b", every=HOUR, missed_window=2 * HOUR, missed_runs=periodic_job_pb2.MISSED_RUNS_ALL)
    await created(jobs, "a")
    listed = (await jobs.ListPeriodicJobs(ListPeriodicJobsRequest(runs=3))).periodic_jobs
    assert [(each.name, len(each.next_runs)) for each in listed] == [("a", 3), ("b", 3)]
    assert listed[0].missed_runs == periodic_job_pb2.MISSED_RUNS_ONE
    assert listed[1].missed_window == duration_pb2.Duration(seconds=7200)


async def test_what_the_service_sets_is_ignored(jobs: JobsClient) -> None:
    now = timestamp_pb2.Timestamp(seconds=1)
    theirs = {"declared": True, "last_run": now, "next_runs": [now], "paused_at": now, "paused_by": "them"}
    made = await created(jobs, every=HOUR, **theirs)
    assert (made.declared, made.paused_by, made.HasField("last_run")) == (False, "", False)
    assert made.next_runs[0].seconds > 1


async def test_a_name_is_given_once(jobs: JobsClient) -> None:
    await created(jobs)
    error = await refused(created(jobs))
    assert (error.code(), why(error)[0]) == (StatusCode.ALREADY_EXISTS, "PERIODIC_JOB_EXISTS")


async def test_a_new_definition_counts_from_now_on(jobs: JobsClient) -> None:
    await created(jobs)
    changed = (
        await jobs.UpdatePeriodicJob(UpdatePeriodicJobRequest(periodic_job=periodic(**BERLIN_MORNINGS)))
    ).periodic_job
    assert (changed.WhichOneof("schedule"), changed.cron) == ("cron", "30 6 * * 1-5")
    assert changed.next_runs[0].ToDatetime(tzinfo=UTC) > datetime.now(UTC)


async def test_it_is_paused_resumed_and_forgotten_and_each_is_on_record(jobs: JobsClient, database: str) -> None:
    await created(jobs)
    paused = (await jobs.PausePeriodicJob(PausePeriodicJobRequest(name="reconcile"))).periodic_job
    assert (paused.paused_by, paused.HasField("paused_at"), len(paused.next_runs)) == ("api", True, 0)
    resumed = (await jobs.ResumePeriodicJob(ResumePeriodicJobRequest(name="reconcile"))).periodic_job
    assert (resumed.paused_by, resumed.HasField("paused_at"), len(resumed.next_runs)) == ("", False, 1)
    await jobs.DeletePeriodicJob(DeletePeriodicJobRequest(name="reconcile"))
    assert not (await jobs.ListPeriodicJobs(ListPeriodicJobsRequest())).periodic_jobs
    with psycopg.connect(database) as connection:
        acts = connection.execute("select action, subject, details from headrace.audit_log order by id").fetchall()
    kind = "saas.jobs.v1.ReconcileStripe"
    assert acts[0] == (
        *("CreatePeriodicJob", "periodic:reconcile"),
        {"name": "reconcile", "every": "3600s", "kind": kind},
    )
    assert [action for action, *_ in acts[1:]] == ["PausePeriodicJob", "ResumePeriodicJob", "DeletePeriodicJob"]


async def test_one_that_there_is_not_is_not_found(jobs: JobsClient) -> None:
    for name in ("nothing", "a\0b", "a\nb"):
        for method, request in (
            ("GetPeriodicJob", GetPeriodicJobRequest(name=name)),
            ("PausePeriodicJob", PausePeriodicJobRequest(name=name)),
            ("ResumePeriodicJob", ResumePeriodicJobRequest(name=name)),
            ("DeletePeriodicJob", DeletePeriodicJobRequest(name=name)),
        ):
            error = await refused(getattr(jobs, method)(request))
            assert (error.code(), why(error)[0]) == (StatusCode.NOT_FOUND, "PERIODIC_JOB_NOT_FOUND")
    error = await refused(jobs.UpdatePeriodicJob(UpdatePeriodicJobRequest(periodic_job=periodic())))
    assert (error.code(), why(error)[0]) == (StatusCode.NOT_FOUND, "PERIODIC_JOB_NOT_FOUND")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"cron": "61 * * * *"}, "periodic_job.cron"),
        ({"cron": "0 0 30 2 *"}, "periodic_job.cron"),
        ({"cron": "* * * * *", "time_zone": "Mars/Olympus"}, "periodic_job.time_zone"),
        ({"cron": "* * * * *", "time_zone": "a\0"}, "periodic_job.time_zone"),
        ({"name": "a\0b", "every": HOUR}, "periodic_job.name"),
        ({"every": HOUR, "missed_runs": periodic_job_pb2.MISSED_RUNS_ALL}, "periodic_job.missed_window"),
        ({"every": HOUR, "missed_runs": 9}, "periodic_job.missed_runs"),
        ({"every": HOUR, "missed_window": duration_pb2.Duration(nanos=1)}, "periodic_job.missed_window"),
        ({"every": duration_pb2.Duration(seconds=2**60)}, "periodic_job.every"),
        ({"every": timedelta(days=4000)}, "periodic_job.every"),
        ({"time_zone": "UTC"}, "periodic_job.schedule"),
        ({"every": HOUR, "payload": packed(ProcessStripeWebhook(inbox_id="x"))}, "periodic_job.payload.inbox_id"),
        ({"every": HOUR, "payload": any_pb2.Any(type_url="x")}, "periodic_job.payload"),
    ],
)
async def test_a_definition_that_makes_no_sense_is_refused_by_its_field(
    jobs: JobsClient, wrong: Any, field: str
) -> None:
    name = wrong.pop("name", "wrong")
    error = await refused(created(jobs, name, **wrong))
    assert error.code() == StatusCode.INVALID_ARGUMENT
    assert list(why(error)[1]) == [field]


async def test_a_payload_of_an_unknown_kind_is_refused_as_a_jobs_is(jobs: JobsClient) -> None:
    unknown = any_pb2.Any(type_url="type.googleapis.com/saas.jobs.v1.Nothing")
    error = await refused(created(jobs, every=HOUR, payload=unknown))
    assert (error.code(), why(error)[0]) == (StatusCode.UNIMPLEMENTED, "KIND_UNKNOWN")


async def test_a_caller_makes_only_what_it_could_enqueue(serve: Serve, client_of: ClientOf) -> None:
    async with serve() as server, client_of(server, "clock-token") as jobs:
        error = await refused(created(jobs))
        assert (error.code(), why(error)[0]) == (StatusCode.PERMISSION_DENIED, "KIND_NOT_ALLOWED")
        assert (await created(jobs, every=HOUR, payload=packed(ProcessStripeWebhook(inbox_id=str(uuid4()))))).name


async def test_its_ticks_become_jobs(jobs: JobsClient, working: Working, eventually: Eventually) -> None:
    async def reconcile(message: ReconcileStripe, job: RunningJob) -> None:
        """Completes its job."""

    await created(jobs, every=timedelta(seconds=30))
    done = ListJobsRequest(filter=job_pb2.JobFilter(states=[job_pb2.JOB_STATE_COMPLETED]))

    async def has_ticked() -> bool:
        return bool((await jobs.ListJobs(done)).jobs)

    async with working(ReconcileStripe=reconcile):
        await eventually(has_ticked)
    [job] = (await jobs.ListJobs(done)).jobs
    found = (await jobs.GetPeriodicJob(GetPeriodicJobRequest(name="reconcile"))).periodic_job
    assert (job.kind, job.metadata["periodic"]) == ("saas.jobs.v1.ReconcileStripe", "reconcile")
    assert found.HasField("last_run")


async def test_every_violation_of_a_definition_is_told_at_once(jobs: JobsClient) -> None:
    bad = PeriodicJob(
        name="a\nb",
        payload=packed(ProcessStripeWebhook(inbox_id="nope")),
        cron="99 3 * * *",
        time_zone="Mars/Base",
        missed_runs=periodic_job_pb2.MISSED_RUNS_ALL,
    )
    with pytest.raises(AioRpcError) as refused:
        await jobs.CreatePeriodicJob(CreatePeriodicJobRequest(periodic_job=bad))
    assert refused.value.code() is StatusCode.INVALID_ARGUMENT
    reason, fields = why(refused.value)
    assert reason == "REQUEST_INVALID"
    named = ("name", "payload.inbox_id", "cron", "time_zone", "missed_window")
    assert sorted(fields) == sorted(f"periodic_job.{field}" for field in named)


@pytest.mark.parametrize(("milliseconds", "broken"), [(99, ["every"]), (100, [])])
def test_the_contract_itself_says_how_short_an_interval_may_be(milliseconds: int, broken: list[str]) -> None:
    job = PeriodicJob(name="quick", payload=packed(ReconcileStripe()), every=timedelta(milliseconds=milliseconds))
    assert [field for field, _ in request_violations(job)] == broken


async def test_the_shortest_interval_that_the_contract_allows_is_taken(jobs: JobsClient) -> None:
    assert (await created(jobs, every=timedelta(milliseconds=100))).every.ToMilliseconds() == 100
