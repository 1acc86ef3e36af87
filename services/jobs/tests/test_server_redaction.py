"""What callers see of jobs whose kind redacts fields: everything but these, unless they have the right to see them."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import psycopg
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status
from jobs_server_fixtures import ClientOf, JobsClient, Serve
from private_kinds import PRIVATE_FILE, Address, Invite
from psycopg.types.json import Json

from headrace.chassis.rpc.tokens import token_hash
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.jobs.v1 import periodic_job_pb2
from headrace.queue import Kinds
from jobs_service.callers.caller import Caller, Callers
from jobs_service.server.program import JobsServer

CANARY = "canary-0815@example.com"
MASK = "[redacted]"


def _caller(name: str, *, see_redacted: bool) -> Caller:
    digest = token_hash(f"{name}-token")
    return Caller(name=name, token_sha256=(digest,), kinds=("*",), methods=("*",), see_redacted=see_redacted)


CALLERS = Callers([_caller("clerk", see_redacted=False), _caller("auditor", see_redacted=True)])


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[JobsServer]:
    """A server of kinds that redact, for a caller who may see it and one who may not."""
    async with serve(callers=CALLERS, kinds=Kinds.of_file(PRIVATE_FILE)) as running:
        yield running


@pytest.fixture
async def clerk(server: JobsServer, client_of: ClientOf) -> AsyncIterator[JobsClient]:
    """A client without the right to see."""
    async with client_of(server, "clerk-token") as stub:
        yield stub


@pytest.fixture
async def auditor(server: JobsServer, client_of: ClientOf) -> AsyncIterator[JobsClient]:
    """A client with it."""
    async with client_of(server, "auditor-token") as stub:
        yield stub


def packed(message: Any) -> any_pb2.Any:
    held = any_pb2.Any()
    held.Pack(message)
    return held


PAYLOAD = packed(Invite(guest=CANARY, house="No. 4", home=Address(street="Main St", city="canary-town")))
SEEN = packed(Invite(guest=MASK, house="No. 4", home=Address(street="Main St", city=MASK)))


async def enqueued(stub: JobsClient, **options: Any) -> str:
    job_id: str = (await stub.Enqueue(pb.EnqueueRequest(payload=PAYLOAD, **options))).job_id
    return job_id


async def test_a_caller_without_the_right_sees_no_redacted_value_by_any_method(clerk: JobsClient) -> None:
    job_id = await enqueued(clerk, tags=[CANARY], metadata={"for": CANARY})
    answers = [
        (await clerk.GetJob(pb.GetJobRequest(job_id=job_id))).job,
        (await clerk.ListJobs(pb.ListJobsRequest())).jobs[0],
        (await clerk.ExplainJob(pb.ExplainJobRequest(job_id=job_id))).job,
        (await clerk.CancelJob(pb.CancelJobRequest(job_id=job_id))).job,
        (await clerk.RetryJob(pb.RetryJobRequest(job_id=job_id))).job,
    ]
    for job in answers:
        assert job.payload == SEEN
        assert list(job.veiled_fields) == ["guest", "home.city"]
        assert "canary" not in str(job)


async def test_a_caller_with_the_right_sees_all_of_it(clerk: JobsClient, auditor: JobsClient) -> None:
    job_id = await enqueued(clerk, metadata={"for": CANARY})
    job = (await auditor.GetJob(pb.GetJobRequest(job_id=job_id))).job
    assert (job.payload, list(job.veiled_fields)) == (PAYLOAD, [])
    assert job.metadata["for"] == CANARY
    assert (await auditor.ListJobs(pb.ListJobsRequest())).jobs[0] == job
    assert (await auditor.ExplainJob(pb.ExplainJobRequest(job_id=job_id))).job.payload == PAYLOAD


async def test_errors_stored_without_redaction_are_redacted_when_they_are_read(
    clerk: JobsClient, auditor: JobsClient, database: str
) -> None:
    job_id = await enqueued(clerk)
    error = {"attempt": 1, "lease": 1, "at": "2026-01-01T00:00:00+00:00", "type": "E", "message": f"no {CANARY}"}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "update headrace.jobs set state = 'discarded', set_aside = 'discarded', ready_xid = null,"
            " finished_at = now(), errors = %s",
            [Json([{**error, "traceback": f"at {CANARY}"}])],
        )
    seen = (await clerk.ExplainJob(pb.ExplainJobRequest(job_id=job_id))).explanation.finished.last_error
    assert (seen.message, seen.traceback) == (f"no {MASK}", f"at {MASK}")
    assert (await auditor.GetJob(pb.GetJobRequest(job_id=job_id))).job.errors[0].message == f"no {CANARY}"


async def test_a_payload_that_this_server_cannot_read_is_not_shown(
    clerk: JobsClient, auditor: JobsClient, database: str
) -> None:
    job_id = await enqueued(clerk)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update headrace.jobs set kind = 'headrace.test.v1.Later'")
    job = (await clerk.GetJob(pb.GetJobRequest(job_id=job_id))).job
    assert (job.payload.value, list(job.veiled_fields)) == (b"", ["*"])
    job = (await auditor.GetJob(pb.GetJobRequest(job_id=job_id))).job
    assert (job.payload.value, list(job.veiled_fields)) == (PAYLOAD.value, [])


async def test_a_field_that_only_a_newer_release_knows_is_not_shown(clerk: JobsClient) -> None:
    newer = any_pb2.Any(type_url=PAYLOAD.type_url, value=PAYLOAD.value + b"\xba\x06\x06secret")
    answer = await clerk.Enqueue(pb.EnqueueRequest(payload=newer))
    job = (await clerk.GetJob(pb.GetJobRequest(job_id=answer.job_id))).job
    assert "secret" not in str(job)
    assert list(job.veiled_fields) == ["guest", "home.city", "#103"]


async def test_periodic_jobs_are_shown_like_jobs(clerk: JobsClient, auditor: JobsClient) -> None:
    every = duration_pb2.Duration(seconds=3600)
    periodic = periodic_job_pb2.PeriodicJob(name="party", payload=PAYLOAD, every=every)
    made = (await clerk.CreatePeriodicJob(pb.CreatePeriodicJobRequest(periodic_job=periodic))).periodic_job
    got = (await clerk.GetPeriodicJob(pb.GetPeriodicJobRequest(name="party"))).periodic_job
    (listed,) = (await clerk.ListPeriodicJobs(pb.ListPeriodicJobsRequest())).periodic_jobs
    for seen in (made, got, listed):
        assert (seen.payload, list(seen.veiled_fields)) == (SEEN, ["guest", "home.city"])
    full = (await auditor.GetPeriodicJob(pb.GetPeriodicJobRequest(name="party"))).periodic_job
    assert (full.payload, list(full.veiled_fields)) == (PAYLOAD, [])


async def refused_fields(call: Awaitable[object]) -> dict[str, str]:
    with pytest.raises(AioRpcError) as refused:
        await call
    assert refused.value.code() is StatusCode.INVALID_ARGUMENT
    detail = error_details_pb2.BadRequest()
    assert any(packed.Unpack(detail) for packed in rpc_status.from_call(refused.value).details)
    return {v.field: v.description for v in detail.field_violations}


async def test_a_periodic_job_that_is_sent_back_as_it_was_shown_is_not_stored_so(
    clerk: JobsClient, auditor: JobsClient
) -> None:
    every = duration_pb2.Duration(seconds=3600)
    party = periodic_job_pb2.PeriodicJob(name="party", payload=PAYLOAD, every=every)
    await clerk.CreatePeriodicJob(pb.CreatePeriodicJobRequest(periodic_job=party))
    shown = (await clerk.GetPeriodicJob(pb.GetPeriodicJobRequest(name="party"))).periodic_job
    shown.every.seconds = 60
    for caller in (clerk, auditor):
        fields = await refused_fields(caller.UpdatePeriodicJob(pb.UpdatePeriodicJobRequest(periodic_job=shown)))
        assert sorted(fields) == ["periodic_job.payload.guest", "periodic_job.payload.home.city"]
        assert "set its value or leave it unset" in fields["periodic_job.payload.guest"]
    kept = (await auditor.GetPeriodicJob(pb.GetPeriodicJobRequest(name="party"))).periodic_job
    assert (kept.payload, kept.every) == (PAYLOAD, every)
    shown.payload.CopyFrom(PAYLOAD)
    changed = (await clerk.UpdatePeriodicJob(pb.UpdatePeriodicJobRequest(periodic_job=shown))).periodic_job
    assert (changed.payload, changed.every.seconds) == (SEEN, 60)


@pytest.mark.parametrize(
    ("kept", "field"),
    [
        (Invite(house="1", pin=4711), "pin"),
        (Invite(house="1", token=b"t"), "token"),
        (Invite(secret_place=Address(street="S")), "secret_place"),
        (Invite(nicknames=["a"]), "nicknames"),
        (Invite(stays=[Address(city="a")]), "stays[0].city"),
        (Invite(known_as={"x": Address(city="a")}), "known_as[x].city"),
        (Invite(plus_one=Invite(guest="a")), "plus_one.guest"),
        (Invite(attachment=packed(Address(city="a"))), "attachment.city"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_values_of_every_type_are_not_lost_by_an_update_with_what_was_shown(
    clerk: JobsClient, auditor: JobsClient, kept: Any, field: str
) -> None:
    party = periodic_job_pb2.PeriodicJob(name="party", payload=packed(kept), cron="0 3 * * *")
    await clerk.CreatePeriodicJob(pb.CreatePeriodicJobRequest(periodic_job=party))
    shown = (await clerk.GetPeriodicJob(pb.GetPeriodicJobRequest(name="party"))).periodic_job
    fields = await refused_fields(clerk.UpdatePeriodicJob(pb.UpdatePeriodicJobRequest(periodic_job=shown)))
    assert list(fields) == [f"periodic_job.payload.{field}"]
    stored = (await auditor.GetPeriodicJob(pb.GetPeriodicJobRequest(name="party"))).periodic_job.payload
    assert stored == packed(kept)


async def test_a_caller_who_sees_all_may_unset_a_redacted_value(clerk: JobsClient, auditor: JobsClient) -> None:
    party = periodic_job_pb2.PeriodicJob(name="party", payload=packed(Invite(house="1", pin=4711)), cron="0 3 * * *")
    await clerk.CreatePeriodicJob(pb.CreatePeriodicJobRequest(periodic_job=party))
    party.payload.CopyFrom(packed(Invite(house="1")))
    changed = await auditor.UpdatePeriodicJob(pb.UpdatePeriodicJobRequest(periodic_job=party))
    assert changed.periodic_job.payload == packed(Invite(house="1"))


async def test_a_refusal_quotes_no_redacted_value(clerk: JobsClient) -> None:
    bad = packed(Invite(guest="bad canary-0815"))
    with pytest.raises(AioRpcError) as refused:
        await clerk.Enqueue(pb.EnqueueRequest(payload=bad, priority=9))
    with pytest.raises(AioRpcError) as alone:
        await clerk.Enqueue(pb.EnqueueRequest(payload=bad))
    for error in (refused.value, alone.value):
        assert error.code() == StatusCode.INVALID_ARGUMENT
        assert "canary" not in f"{error.details()}{rpc_status.from_call(error)}"
        detail = error_details_pb2.BadRequest()
        assert any(packed.Unpack(detail) for packed in rpc_status.from_call(error).details)
        described = {v.field: v.description for v in detail.field_violations}
        assert described["payload.guest"] == f"no guest is called {MASK}"


async def test_the_audit_holds_no_payload(clerk: JobsClient, database: str) -> None:
    every = duration_pb2.Duration(seconds=3600)
    periodic = periodic_job_pb2.PeriodicJob(name="party", payload=PAYLOAD, every=every)
    await clerk.CreatePeriodicJob(pb.CreatePeriodicJobRequest(periodic_job=periodic))
    await clerk.CancelJob(pb.CancelJobRequest(job_id=await enqueued(clerk)))
    entries = (await clerk.ListAuditEntries(pb.ListAuditEntriesRequest())).entries
    assert len(entries) == 2
    assert "canary" not in str(entries)
    with psycopg.connect(database) as connection:
        assert "canary" not in str(connection.execute("select to_jsonb(audit_log) from headrace.audit_log").fetchall())
