"""The kit: its methods take the test's connection or session, as enqueueing does, and commit nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload

import psycopg

from headrace.queue.app import Headrace
from headrace.queue.db.caller_connection import (
    AnyAsyncConnection,
    AnyConnection,
    commits_each,
    psycopg_async_connection,
    psycopg_connection,
)
from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.db.transaction import Plan, Result, run, run_async
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.threads import in_thread
from headrace.queue.job import Job
from headrace.queue.kinds.kind import Kind
from headrace.queue.periodic.definition import Periodic
from headrace.queue.periodic.ticker import Ticker
from headrace.queue.testing.calling_thread import in_calling_thread
from headrace.queue.testing.clock import moved_clock
from headrace.queue.testing.drain import AT_ONCE, Drain
from headrace.queue.testing.enqueued import EnqueuedJob, enqueued
from headrace.queue.testing.run_handler import handled_kind, run_handler

Payload = TypeVar("Payload")


class Kit:
    """What tests ask about jobs and handlers.

    Plain handlers run in the thread of the test, so that they see its data over connections that belong to a thread,
    such as Django's. No timeout strikes them there.

    Args:
        app: The program under test, or its handlers.
        periodic: Periodic jobs to declare in a drain, for example `app.periodic_jobs`. Drains that run at the same time
            on one database then wait for each other.
        retry: The backoff in a drain. By default failed jobs are retried at once; with the program's own policy their
            retries wait until the clock is moved.
        schema: The installation's schema; None for the app's.
        threads: Whether plain handlers run in threads, as in a worker.

    Raises:
        EnqueueError: The payload of a periodic job is rejected.
    """

    def __init__(
        self,
        app: Headrace | Handlers,
        *,
        periodic: Sequence[Periodic] = (),
        retry: RetryPolicy = AT_ONCE,
        schema: str | None = None,
        threads: bool = False,
    ) -> None:
        self._handlers, own_schema = (app.handlers, app.schema) if isinstance(app, Headrace) else (app, DEFAULT_SCHEMA)
        self._retry = retry
        self._schema = schema or own_schema
        self._run_plain = in_thread if threads else in_calling_thread
        self._ticker = Ticker(self._handlers.kinds, periodic, self._schema)

    def run(
        self,
        payload: Any,
        *,
        attempt: int = 1,
        job_id: int = 1,
        caller: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Runs the handler of a payload, with its middleware, and returns its outcome. Needs no database.

        The payload is encoded and validated as on enqueue. A handler that returns None has returned `Done()`. Its
        exceptions pass through, and no timeout strikes. Every handler runs in this process, so that it can be watched
        and patched. Without a database, a handler can't call `complete_in`: use `drain` for that.

        Raises:
            KindUnknownError: The payload's kind is unknown, or has no handler.
            EnqueueError: The payload is invalid.
            TypeError: What the handler returns is not an outcome.
            RuntimeError: An event loop runs in this thread: use `run_async` there.
        """
        _require_no_loop("run_async")
        return asyncio.run(self.run_async(payload, attempt=attempt, job_id=job_id, caller=caller, metadata=metadata))

    async def run_async(
        self,
        payload: Any,
        *,
        attempt: int = 1,
        job_id: int = 1,
        caller: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Does what `run` does, in an asynchronous test."""
        return await run_handler(
            self._handlers,
            payload,
            attempt=attempt,
            job_id=job_id,
            caller=caller,
            metadata=metadata,
            schema=self._schema,
            run_plain=self._run_plain,
        )

    @overload
    def enqueued(self, connection: AnyConnection) -> list[EnqueuedJob[Any]]: ...

    @overload
    def enqueued(self, connection: AnyConnection, *payload_classes: type[Payload]) -> list[EnqueuedJob[Payload]]: ...

    def enqueued(self, connection: AnyConnection, *payload_classes: type[Any]) -> list[EnqueuedJob[Any]]:
        """Returns the jobs that this transaction has enqueued, of these classes or of all, in order.

        Raises:
            KindUnknownError: The app doesn't know one of the classes, or the kind of a job.
            ValueError: The connection is not in a transaction that could be rolled back.
        """
        return run(_borrowed(connection), enqueued(self._handlers.kinds, payload_classes, self._schema))

    @overload
    async def enqueued_async(self, connection: AnyAsyncConnection) -> list[EnqueuedJob[Any]]: ...

    @overload
    async def enqueued_async(
        self, connection: AnyAsyncConnection, *payload_classes: type[Payload]
    ) -> list[EnqueuedJob[Payload]]: ...

    async def enqueued_async(
        self, connection: AnyAsyncConnection, *payload_classes: type[Any]
    ) -> list[EnqueuedJob[Any]]:
        """Does what `enqueued` does, on an asynchronous connection or session."""
        driver = await _borrowed_async(connection)
        return await run_async(driver, enqueued(self._handlers.kinds, payload_classes, self._schema))

    def drain(self, connection: AnyConnection, *payload_classes: type[Any], limit: int = 1000) -> list[Job]:
        """Runs every available job of these kinds, or of all, one after the other. Returns what became of each.

        Claims, outcomes, retries, timeouts and periodic ticks are the engine's own, in the transaction of the
        connection. Jobs that handlers enqueue on it are run as well. Scheduled jobs are not, until the clock is moved.
        If a handler breaks the transaction of the test, what this attempt has done in it is undone.

        Args:
            connection: The test's.
            payload_classes: Which kinds to run; none for every kind that has a handler.
            limit: The most attempts.

        Raises:
            DrainUnendingError: Jobs are left after that many attempts.
            KindUnknownError: A class has no handler.
            TransactionEndedError: A handler has committed or rolled back the connection.
            ValueError: The connection is not in a transaction that could be rolled back.
            RuntimeError: An event loop runs in this thread: use `drain_async` there.
        """
        _require_no_loop("drain_async")
        driver = _borrowed(connection)

        async def execute(plan: Plan[Result]) -> Result:
            return run(driver, plan)

        return asyncio.run(self._drain(driver.info).run(execute, self._chosen(payload_classes), limit))

    async def drain_async(
        self, connection: AnyAsyncConnection, *payload_classes: type[Any], limit: int = 1000
    ) -> list[Job]:
        """Does what `drain` does, on an asynchronous connection or session."""
        driver = await _borrowed_async(connection)

        async def execute(plan: Plan[Result]) -> Result:
            return await run_async(driver, plan)

        return await self._drain(driver.info).run(execute, self._chosen(payload_classes), limit)

    def move_clock(self, connection: AnyConnection, by: timedelta) -> datetime:
        """Moves the clock of this transaction ahead and returns the time that it shows then.

        Scheduled jobs, retries and periodic ticks go by this clock, and nothing else does. Moves add up.

        Raises:
            ValueError: `by` is below 0, or the connection is not in a transaction that could be rolled back.
        """
        return run(_borrowed(connection), moved_clock(by, self._schema))

    async def move_clock_async(self, connection: AnyAsyncConnection, by: timedelta) -> datetime:
        """Does what `move_clock` does, on an asynchronous connection or session."""
        return await run_async(await _borrowed_async(connection), moved_clock(by, self._schema))

    def _drain(self, info: psycopg.ConnectionInfo) -> Drain:
        return Drain(info, self._handlers, self._ticker, self._retry, self._schema, self._run_plain)

    def _chosen(self, payload_classes: Sequence[type[Any]]) -> Sequence[Kind]:
        return [handled_kind(self._handlers, each) for each in payload_classes] or self._handlers.handled


def _borrowed(connection: AnyConnection) -> psycopg.Connection[Any]:
    driver = psycopg_connection(connection)
    _require_transaction(driver)
    return driver


async def _borrowed_async(connection: AnyAsyncConnection) -> psycopg.AsyncConnection[Any]:
    driver = await psycopg_async_connection(connection)
    _require_transaction(driver)
    return driver


def _require_no_loop(instead: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"an event loop runs in this thread already: await {instead} instead")


def _require_transaction(driver: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    if commits_each(driver):
        raise ValueError(
            "the connection commits each statement, so what a test does could not be rolled back: "
            "open it without autocommit, or begin a transaction"
        )
