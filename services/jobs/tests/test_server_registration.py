"""The server registers how its kinds look, as soon as Postgres lets it."""

from typing import Any

import psycopg

from headrace.queue.migrate import up
from headrace.queue.register import registered_kinds
from jobs_service.server import JobsServer
from saas.jobs.v1.kinds_pb2 import DESCRIPTOR, SendVerificationEmail

KIND = SendVerificationEmail.DESCRIPTOR.full_name


async def test_the_server_registers_its_kinds(jobs_server: JobsServer, database: str, eventually: Any) -> None:
    names = [message.full_name for message in DESCRIPTOR.message_types_by_name.values()]

    async def registered() -> bool:
        with psycopg.connect(database) as connection:
            return len(registered_kinds(connection, names)) == len(names)

    await eventually(registered)
    with psycopg.connect(database) as connection:
        [revision] = registered_kinds(connection, [KIND])
    assert (revision.version, [field.name for field in revision.message.fields]) == (1, ["mail_id"])


async def test_it_does_so_when_the_tables_come_late(serve: Any, database: str, eventually: Any) -> None:
    async with serve(migrate=False):
        up(database)

        async def registered() -> bool:
            with psycopg.connect(database) as connection:
                return bool(registered_kinds(connection, [KIND]))

        await eventually(registered)
