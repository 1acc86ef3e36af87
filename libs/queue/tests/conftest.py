"""Job kinds of the engine's own tests, and an installation for each test.

The kinds are built here, descriptor by descriptor, as protoc would from a user's own .proto file: the engine must not
need any product's kinds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from buf.validate import validate_pb2
from headrace.jobs.v1 import options_pb2
from headrace.queue import Door, Handlers, Job, Kinds, NewJob, Worker, get_job, migrate

PACKAGE = "headrace.test.v1"
STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
REPEATED = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="headrace/test/v1/kinds.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=["headrace/jobs/v1/options.proto", "buf/validate/validate.proto"],
    )
    for name, options in {
        "Greet": options_pb2.JobOptions(queue="greetings", max_retries=2, version=1),
        "Count": options_pb2.JobOptions(queue="numbers"),
        "GreetAgain": options_pb2.JobOptions(queue="greetings", version=3, priority=1),
    }.items():
        message: Any = file.message_type.add(name=name)
        message.options.Extensions[options_pb2.job].CopyFrom(options)
        field: Any = message.field.add(name="name", number=1, type=STRING, label=OPTIONAL, json_name="name")
        field.options.Extensions[validate_pb2.field].string.max_len = 100
        lines: Any = message.field.add(name="lines", number=2, type=STRING, label=REPEATED, json_name="lines")
        lines.options.Extensions[validate_pb2.field].repeated.items.string.min_len = 1
    file.message_type.add(name="NoKind")
    return file


_POOL = descriptor_pool.Default()
_POOL.AddSerializedFile(_file().SerializeToString())
FILE = _POOL.FindFileByName("headrace/test/v1/kinds.proto")


class TestKinds:
    """The message classes."""

    __test__ = False
    Greet: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Greet"])
    Count: Any = message_factory.GetMessageClass(FILE.message_types_by_name["Count"])
    GreetAgain: Any = message_factory.GetMessageClass(FILE.message_types_by_name["GreetAgain"])
    NoKind: Any = message_factory.GetMessageClass(FILE.message_types_by_name["NoKind"])


class Installation:
    """A migrated database, a door into it, and workers on demand."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.kinds = Kinds.of_file(FILE)
        self.door = Door(self.kinds, hash_keys=(b"test",))

    async def connect(self, *, autocommit: bool = True) -> psycopg.AsyncConnection[Any]:
        """A connection that the caller closes."""
        return await psycopg.AsyncConnection.connect(self.dsn, autocommit=autocommit)

    async def enqueue(self, payload: Message, **options: Any) -> int:
        """Accepts and commits one job; answers its id."""
        async with await self.connect(autocommit=False) as connection:
            return (await self.door.accept_one_async(connection, NewJob(payload, **options))).job_id

    async def job(self, job_id: int) -> Job:
        """The job as it stands."""
        async with await self.connect() as connection:
            return await get_job(connection, job_id)

    async def execute(self, query: Any, params: Any = None) -> list[Any]:
        """Runs a statement; answers its rows."""
        async with await self.connect() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description else []

    def handlers(self, **functions: Any) -> Handlers:
        """Handlers by the kind's short name."""
        handlers = Handlers(self.kinds)
        for name, function in functions.items():
            handlers.add(getattr(TestKinds, name), function)
        return handlers

    @asynccontextmanager
    async def working(self, worker: Worker) -> AsyncIterator[Worker]:
        """Runs a worker for the length of a block, and drains it."""
        run = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await run


@pytest.fixture
def messages() -> type[TestKinds]:
    """The message classes of the test kinds."""
    return TestKinds


@pytest.fixture
def installation(database: str) -> Installation:
    """An installation of its own."""
    migrate.up(database)
    return Installation(database)
