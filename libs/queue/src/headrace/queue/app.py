"""One object for a program's jobs: it registers kinds and handlers, enqueues jobs and runs workers.

    app = Headrace()

    @job_kind("shop.Greet")
    @dataclass
    class Greet:
        name: str

    @app.handler
    def greet(payload: Greet, job: RunningJob) -> None:
        print(f"Hello, {payload.name}!")

    app.enqueue(connection, Greet("Ada"))  # in the caller's transaction
    app.run(dsn)  # or, in a shell: headrace worker run shop.jobs:app

It puts `Kinds`, `Handlers`, `Enqueuer` and `Worker` together. Use them where you need more than it offers: they are
its attributes `handlers`, `handlers.kinds` and `enqueuer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypedDict, TypeVar, Unpack, overload

from headrace.queue.db import migrate
from headrace.queue.db.caller_connection import AnyAsyncConnection, AnyConnection
from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.enqueue.all_or_nothing import enqueue_all, enqueue_all_async
from headrace.queue.enqueue.enqueuer import Enqueuer
from headrace.queue.enqueue.new_job import Limits, NewJob
from headrace.queue.enqueue.results import Enqueued
from headrace.queue.enqueue.uniqueness import Unique
from headrace.queue.execution.handlers import AsyncHandler, Handlers, Mode, PlainHandler
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.signature import payload_classes
from headrace.queue.job import TraceParent
from headrace.queue.kinds.kind import Kinds
from headrace.queue.periodic.definition import Periodic
from headrace.queue.worker.run import run_worker
from headrace.queue.worker.settings import WorkerSettings
from headrace.queue.worker.worker import Worker

Function = TypeVar("Function", bound=AsyncHandler[Any] | PlainHandler[Any])


class JobOptions(TypedDict, total=False):
    """The options of one job, as `NewJob` documents them. What is left out comes from the job's kind."""

    caller: str
    key: str
    queue: str | None
    priority: int | None
    max_retries: int | None
    timeout: timedelta | None
    run_at: datetime | None
    run_after: timedelta | None
    trace: TraceParent | None
    unique: Unique | None
    tags: Sequence[str]
    metadata: Mapping[str, Any] | None
    version: int | None


class Headrace:
    """A program's job kinds and handlers, and the ways to enqueue and run their jobs.

    Args:
        kinds: The kinds to begin with, for example `Kinds.of_file(kinds_pb2.DESCRIPTOR)`, or kinds with defaults and
            overrides; None for none yet. Handlers and `app.kinds` add to it.
        limits: How large jobs and batches may be.
        hash_keys: Secrets for the hash of a payload that is kept with its idempotency key; see `Enqueuer`.
        key_lifetime: How long an idempotency key identifies its job, at least.
        settings: How workers run.
        retry: The backoff between attempts.
        schema: The installation's schema.

    Raises:
        ValueError: A hash key, the key lifetime or the schema's name is out of range.
    """

    def __init__(
        self,
        kinds: Kinds | None = None,
        *,
        limits: Limits | None = None,
        hash_keys: Sequence[bytes] = (b"",),
        key_lifetime: timedelta = timedelta(days=7),
        settings: WorkerSettings | None = None,
        retry: RetryPolicy | None = None,
        schema: str = DEFAULT_SCHEMA,
    ) -> None:
        self.handlers = Handlers(Kinds([]) if kinds is None else kinds)
        """The handlers and their middleware: `app.handlers.use(…)`. Its `kinds` are all kinds that the app knows."""
        self.enqueuer = Enqueuer(
            self.handlers.kinds, limits=limits, hash_keys=hash_keys, key_lifetime=key_lifetime, schema=schema
        )
        """Enqueues with one result per job, and with middleware: `app.enqueuer.use(…)`."""
        self.settings = settings
        self.retry = retry
        self.schema = schema
        self._periodic: list[Periodic] = []

    @property
    def periodic_jobs(self) -> tuple[Periodic, ...]:
        """The periodic jobs that the app's workers declare."""
        return tuple(self._periodic)

    def kinds(self, *payload_classes: type[Any]) -> None:
        """Registers kinds without handlers, for a program that only enqueues their jobs.

        Raises:
            NotAJobKindError: A class is neither a message with the job option nor a class with `@job_kind`.
            KindMisconfiguredError: An option of a kind is out of range, or two classes have the same name.
        """
        for payload_class in payload_classes:
            self.handlers.kinds.add(payload_class)

    @overload
    def handler(self, function: Function, /) -> Function: ...

    @overload
    def handler(
        self, function: None = None, /, *, mode: Mode | None = None, memory_limit: int | None = None
    ) -> Callable[[Function], Function]: ...

    def handler(self, function: Any = None, /, *, mode: Mode | None = None, memory_limit: int | None = None) -> Any:
        """Makes a function the handler of the kind that its first parameter is annotated with.

        With a union, such as `payload: Mail | Report`, it is the handler of each. An `async def` runs on the event
        loop, a plain function in a thread, and with `mode="process"` in a separate process.

            @app.handler
            def greet(payload: Greet, job: RunningJob) -> None: ...

        Args:
            function: Takes the payload and the job. It is returned unchanged.
            mode: How it runs; see `Handlers.add`.
            memory_limit: The bytes that its process may use; see `Handlers.add`.

        Raises:
            TypeError: The function has no annotation to read the kind from, or doesn't take a payload and a job.
            NotAJobKindError: The annotation is neither a message with the job option nor a class with `@job_kind`.
            ValueError: The kind has a handler already, or the function can't run in that mode.
        """

        def add(function: Function) -> Function:
            for payload_class in payload_classes(function):
                self.kinds(payload_class)
                self.handlers.add(payload_class, function, mode=mode, memory_limit=memory_limit)
            return function

        return add if function is None else add(function)

    def periodic(self, *definitions: Periodic) -> None:
        """Declares periodic jobs: every worker of the app makes sure that they exist and are enqueued on time."""
        self._periodic.extend(definitions)

    def enqueue(self, connection: AnyConnection, payload: Any, **options: Unpack[JobOptions]) -> Enqueued:
        """Enqueues a job in the transaction of the caller's connection or session. Commits nothing.

        The job exists exactly if the caller's transaction commits. On a connection with autocommit, outside of a
        transaction, it is committed at once.

        Args:
            connection: Of psycopg, SQLAlchemy over psycopg, or Django.
            payload: An object of a kind's class.
            options: As for `NewJob`.

        Raises:
            EnqueueError: The job is rejected: its payload or an option is invalid, or the app doesn't know its kind.
            TypeError: The connection is not a blocking one over psycopg.
        """
        return self.enqueuer.enqueue(connection, _new_job(payload, options))

    async def enqueue_async(
        self, connection: AnyAsyncConnection, payload: Any, **options: Unpack[JobOptions]
    ) -> Enqueued:
        """Does what `enqueue` does, on an asynchronous connection or session."""
        return await self.enqueuer.enqueue_async(connection, _new_job(payload, options))

    def enqueue_many(self, connection: AnyConnection, jobs: Iterable[Any]) -> list[Enqueued]:
        """Enqueues all of the jobs, or none, in the transaction of the caller's connection or session.

        If a job is rejected, the others are undone by a savepoint, and the caller's transaction goes on. For one result
        per job instead, use `app.enqueuer.enqueue_many`.

        Args:
            connection: As for `enqueue`.
            jobs: Payloads; a `NewJob` where a job has options.

        Raises:
            BatchRejectedError: At least one job is rejected. It says which, and why.
            BatchTooLargeError: There are more jobs than the limit allows.
            TypeError: The connection is not a blocking one over psycopg.
        """
        return enqueue_all(self.enqueuer, connection, [_new_job(each) for each in jobs])

    async def enqueue_many_async(self, connection: AnyAsyncConnection, jobs: Iterable[Any]) -> list[Enqueued]:
        """Does what `enqueue_many` does, on an asynchronous connection or session."""
        return await enqueue_all_async(self.enqueuer, connection, [_new_job(each) for each in jobs])

    def enqueue_many_fast(self, connection: AnyConnection, jobs: Iterable[Any]) -> int:
        """Enqueues any number of jobs by COPY and returns how many; without ids, idempotency keys and uniqueness.

        The jobs, payloads or `NewJob`s, are streamed from the iterable. After a rejection the transaction is broken and
        has to be rolled back. See `Enqueuer.enqueue_many_fast`.
        """
        return self.enqueuer.enqueue_many_fast(connection, map(_new_job, jobs))

    async def enqueue_many_fast_async(self, connection: AnyAsyncConnection, jobs: Iterable[Any]) -> int:
        """Does what `enqueue_many_fast` does, on an asynchronous connection or session."""
        return await self.enqueuer.enqueue_many_fast_async(connection, map(_new_job, jobs))

    def worker(self, dsn: str, *, settings: WorkerSettings | None = None) -> Worker:
        """Returns a worker for the app's handlers and periodic jobs, for a program with its own event loop.

        Args:
            dsn: The jobs database.
            settings: How it runs, instead of the app's settings.

        Raises:
            ValueError: The app has no handler, the settings name an unknown queue, or `dsn` is not a connection string.
            EnqueueError: The payload of a periodic job is rejected.
        """
        return Worker(
            dsn,
            self.handlers,
            settings=settings or self.settings,
            retry=self.retry,
            periodic=self._periodic,
            schema=self.schema,
        )

    def run(self, dsn: str, *, settings: WorkerSettings | None = None) -> None:
        """Runs a worker until SIGTERM or Ctrl-C, then lets running jobs finish. See `run_worker`."""
        run_worker(
            dsn,
            self.handlers,
            settings=settings or self.settings,
            retry=self.retry,
            periodic=self._periodic,
            schema=self.schema,
        )

    def migrate(self, dsn: str) -> None:
        """Brings the tables to the version that this release needs, as `headrace migrate up` does."""
        migrate.up(dsn, schema=self.schema)

    @contextmanager
    def embedded_postgres(self) -> Iterator[str]:
        """Runs a Postgres server that has the tables, for trials and tests, and yields its connection string.

        It needs the extra `embedded`. The server and its data are removed at the end of the block.
        """
        from headrace.embedded_postgres import EmbeddedPostgres  # noqa: PLC0415  (for trials only)

        with EmbeddedPostgres() as server:
            self.migrate(server.dsn())
            yield server.dsn()


def _new_job(job: Any, options: JobOptions | None = None) -> NewJob:
    """The job that a payload means; a `NewJob` keeps its options, and takes more."""
    if isinstance(job, NewJob):
        return replace(job, **options) if options else job
    return NewJob(job, **(options or {}))
