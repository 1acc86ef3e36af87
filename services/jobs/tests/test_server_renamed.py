"""A kind that was renamed is one kind to an operator: its jobs are found, paused and acted on under its name."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from jobs_server_fixtures import ClientOf, JobsClient, Serve

from headrace.chassis.rpc.tokens import token_hash
from headrace.jobs.v1 import job_pb2, options_pb2
from headrace.jobs.v1.jobs_service_pb2 import (
    CancelJobsRequest,
    EnqueueRequest,
    ListJobsRequest,
    ListKindsRequest,
    ListPausesRequest,
    PauseKindRequest,
    ResumeKindRequest,
)
from headrace.queue import Kinds
from jobs_service.callers.caller import Caller, Callers

OLD, NEW = "renamed.v1.Old", "renamed.v1.New"


def renamed() -> Kinds:
    """The kind New, which was called Old before."""
    file = descriptor_pb2.FileDescriptorProto(
        name="renamed/v1/kinds.proto",
        package="renamed.v1",
        syntax="proto3",
        dependency=["headrace/jobs/v1/options.proto"],
    )
    job_option: Any = options_pb2.job
    file.message_type.add(name="New").options.Extensions[job_option].former_names.append(OLD)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return Kinds([GetMessageClass(pool.FindMessageTypeByName(NEW))])


@pytest.fixture
async def jobs(serve: Serve, client_of: ClientOf) -> AsyncIterator[JobsClient]:
    """A client, after a job under each name was enqueued: 1 under the old one, 2 under the new one."""
    async with serve(kinds=renamed()) as server, client_of(server) as client:
        for name in (OLD, NEW):
            await client.Enqueue(EnqueueRequest(payload=any_pb2.Any(type_url=f"type.googleapis.com/{name}")))
        yield client


async def test_its_name_stands_for_the_former_one_and_that_for_itself_alone(jobs: JobsClient) -> None:
    async def listed(kind: str) -> list[str]:
        page = await jobs.ListJobs(ListJobsRequest(filter=job_pb2.JobFilter(kinds=[kind])))
        return [job.id for job in page.jobs]

    assert (await listed(NEW), await listed(OLD)) == (["2", "1"], ["1"])
    done = await jobs.CancelJobs(CancelJobsRequest(filter=job_pb2.JobFilter(kinds=[NEW]), dry_run=True))
    assert done.matched == 2
    [kind] = (await jobs.ListKinds(ListKindsRequest())).kinds
    assert (kind.name, list(kind.former_names)) == (NEW, [OLD])


async def test_a_payload_is_of_the_message_that_reflection_knows(jobs: JobsClient) -> None:
    listed = (await jobs.ListJobs(ListJobsRequest())).jobs
    assert [job.kind for job in listed] == [NEW, OLD]
    assert {job.payload.type_url for job in listed} == {f"type.googleapis.com/{NEW}"}


@pytest.mark.parametrize("allowed", [OLD, NEW])
async def test_a_caller_that_may_enqueue_it_by_one_name_may_by_all(
    serve: Serve, client_of: ClientOf, allowed: str
) -> None:
    callers = Callers([Caller(name="api", token_sha256=(token_hash("api-token"),), kinds=(allowed,), methods=("*",))])
    async with serve(kinds=renamed(), callers=callers) as server, client_of(server) as client:
        for name in (OLD, NEW):
            await client.Enqueue(EnqueueRequest(payload=any_pb2.Any(type_url=f"type.googleapis.com/{name}")))
        assert [kind.name for kind in (await client.ListKinds(ListKindsRequest())).kinds] == [NEW]


async def test_it_is_paused_and_resumed_under_all_its_names(jobs: JobsClient) -> None:
    async def paused() -> list[str]:
        return [pause.kind for pause in (await jobs.ListPauses(ListPausesRequest())).pauses]

    assert (await jobs.PauseKind(PauseKindRequest(kind=NEW))).pause.kind == NEW
    assert await paused() == [NEW, OLD]
    assert (await jobs.ResumeKind(ResumeKindRequest(kind=OLD))).was_paused
    assert await paused() == [NEW]
    assert (await jobs.ResumeKind(ResumeKindRequest(kind=NEW))).was_paused
    assert await paused() == []
