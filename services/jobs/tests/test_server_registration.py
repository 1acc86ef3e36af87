"""The server registers its kinds, and knows which versions of them it may accept."""

import psycopg
import pytest
from eventually import Eventually
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status
from jobs_server_fixtures import JobsClient, Serve, Verification

from headrace.jobs.v1.jobs_service_pb2 import GetJobRequest
from headrace.queue.db.migrate import up
from headrace.queue.kinds.revisions import registered_kinds
from jobs_service.server.program import JobsServer
from saas.jobs.v1.kinds_pb2 import DESCRIPTOR, SendVerificationEmail

KIND = SendVerificationEmail.DESCRIPTOR.full_name


async def test_the_server_registers_its_kinds(jobs_server: JobsServer, database: str, eventually: Eventually) -> None:
    names = [message.full_name for message in DESCRIPTOR.message_types_by_name.values()]

    async def registered() -> bool:
        with psycopg.connect(database) as connection:
            return len(registered_kinds(connection, names)) == len(names)

    await eventually(registered)
    with psycopg.connect(database) as connection:
        [revision] = registered_kinds(connection, [KIND])
    assert (revision.version, [field.name for field in revision.message.fields]) == (1, ["mail_id"])


async def test_it_does_so_when_the_tables_come_late(serve: Serve, database: str, eventually: Eventually) -> None:
    async with serve(migrate=False):
        up(database)

        async def registered() -> bool:
            with psycopg.connect(database) as connection:
                return bool(registered_kinds(connection, [KIND]))

        await eventually(registered)


async def test_a_payload_of_a_later_version_is_refused_until_the_server_knows_it(
    jobs: JobsClient, verification: Verification
) -> None:
    with pytest.raises(AioRpcError) as caught:
        await jobs.Enqueue(verification(version=2))
    assert caught.value.code() is StatusCode.UNIMPLEMENTED  # which a relay tries again, as it does for an unknown kind
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in rpc_status.from_call(caught.value).details)
    assert (info.reason, info.metadata["version"], info.metadata["known"]) == ("VERSION_UNKNOWN", "2", "1")
    accepted = await jobs.Enqueue(verification(version=1))
    assert (await jobs.GetJob(GetJobRequest(job_id=accepted.job_id))).job.version == 1
