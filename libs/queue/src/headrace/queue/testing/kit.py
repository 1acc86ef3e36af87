"""The kit: each of its questions takes the test's connection or session, as the door does, and commits nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload

import psycopg

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
from headrace.queue.job import Job
from headrace.queue.periodic.definition import Periodic
from headrace.queue.periodic.ticker import Ticker
from headrace.queue.testing.clock import moved_clock
from headrace.queue.testing.drain import AT_ONCE, Drain
from headrace.queue.testing.enqueued import EnqueuedJob, enqueued
from headrace.queue.testing.run_handler import run_handler

Payload = TypeVar("Payload")


class Kit:
    """What tests ask about jobs and handlers.

    Args:
        handlers: Of the program under test, with their middleware.
        periodic: What its workers declare. Tests that drain on one database at the same time wait for each other then.
        retry: The backoff of a drain. By default a failed job is tried again at once; with the program's own policy its
            retries wait until the clock is moved.
        schema: The installation's schema.

    Raises:
        EnqueueError: A periodic job's payload is of none of the kinds, or breaks its kind's rules.
    """

    def __init__(
        self,
        handlers: Handlers,
        *,
        periodic: Sequence[Periodic] = (),
        retry: RetryPolicy = AT_ONCE,
        schema: str = DEFAULT_SCHEMA,
    ) -> None:
        self._handlers = handlers
        self._retry = retry
        self._schema = schema
        self._ticker = Ticker(handlers.kinds, periodic, schema)

    def run(
        self,
        payload: Any,
        *,
        attempt: int = 1,
        job_id: int = 1,
        caller: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Runs the handler of a payload, with its middleware, and answers its outcome. Needs no database.

        The payload goes through its codec and its rules, as it would through a door. A handler that returns nothing has
        answered Done. Its exceptions pass through, and no timeout strikes. Every handler runs in this process, so that
        it can be watched and patched. There is no job to complete: for a handler that calls `complete_in`, drain.

        Raises:
            KindUnknownError: The payload is of none of the kinds, or none that has a handler.
            EnqueueError: It breaks its kind's rules.
            TypeError: What the handler has returned is no outcome.
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
        """The same, in an asynchronous test."""
        return await run_handler(
            self._handlers,
            payload,
            attempt=attempt,
            job_id=job_id,
            caller=caller,
            metadata=metadata,
            schema=self._schema,
        )

    @overload
    def enqueued(self, connection: AnyConnection) -> list[EnqueuedJob[Any]]: ...

    @overload
    def enqueued(self, connection: AnyConnection, *message_classes: type[Payload]) -> list[EnqueuedJob[Payload]]: ...

    def enqueued(self, connection: AnyConnection, *message_classes: type[Any]) -> list[EnqueuedJob[Any]]:
        """What this transaction has enqueued of these classes, or of all, in order.

        Raises:
            KindUnknownError: Something was enqueued whose kind the handlers don't know.
            ValueError: The connection is in no transaction that could be rolled back.
        """
        return run(_borrowed(connection), enqueued(self._handlers.kinds, message_classes, self._schema))

    @overload
    async def enqueued_async(self, connection: AnyAsyncConnection) -> list[EnqueuedJob[Any]]: ...

    @overload
    async def enqueued_async(
        self, connection: AnyAsyncConnection, *message_classes: type[Payload]
    ) -> list[EnqueuedJob[Payload]]: ...

    async def enqueued_async(
        self, connection: AnyAsyncConnection, *message_classes: type[Any]
    ) -> list[EnqueuedJob[Any]]:
        """The same, on an asynchronous connection or session."""
        driver = await _borrowed_async(connection)
        return await run_async(driver, enqueued(self._handlers.kinds, message_classes, self._schema))

    def drain(self, connection: AnyConnection, *, limit: int = 1000) -> list[Job]:
        """Works off everything that is due, one job after the other, and answers what became of each.

        Claims, outcomes, retries, timeouts and ticks are the engine's own, in the transaction of the connection. What
        handlers enqueue on it is worked off as well; jobs that wait for a time are not, until the clock is moved. A
        handler that uses the test's connection and breaks its transaction loses what this attempt has done on it.

        Args:
            connection: Of the test.
            limit: The most attempts.

        Raises:
            DrainUnendingError: There was more to do after that many attempts.
            TransactionEndedError: A handler has committed or rolled back the connection.
            ValueError: The connection is in no transaction that could be rolled back.
            RuntimeError: An event loop runs in this thread: use `drain_async` there.
        """
        _require_no_loop("drain_async")
        driver = _borrowed(connection)

        async def execute(plan: Plan[Result]) -> Result:
            return run(driver, plan)

        return asyncio.run(self._drain(driver.info).run(execute, limit))

    async def drain_async(self, connection: AnyAsyncConnection, *, limit: int = 1000) -> list[Job]:
        """The same, on an asynchronous connection or session."""
        driver = await _borrowed_async(connection)

        async def execute(plan: Plan[Result]) -> Result:
            return await run_async(driver, plan)

        return await self._drain(driver.info).run(execute, limit)

    def move_clock(self, connection: AnyConnection, by: timedelta) -> datetime:
        """Moves the clock of this transaction ahead, and answers the time that it shows then.

        By it scheduled jobs, retries and periodic ticks come due; nothing else goes by this clock. A
        move adds to the moves before.

        Raises:
            ValueError: `by` is below 0, or the connection is in no transaction that could be rolled back.
        """
        return run(_borrowed(connection), moved_clock(by, self._schema))

    async def move_clock_async(self, connection: AnyAsyncConnection, by: timedelta) -> datetime:
        """The same, on an asynchronous connection or session."""
        return await run_async(await _borrowed_async(connection), moved_clock(by, self._schema))

    def _drain(self, info: psycopg.ConnectionInfo) -> Drain:
        return Drain(info, self._handlers, self._ticker, self._retry, self._schema)


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
    raise RuntimeError(f"an event loop runs in this thread, so this can't bring its own: await {instead} in its stead")


def _require_transaction(driver: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    if commits_each(driver):
        raise ValueError(
            "the connection commits each statement, so nothing that a test does could be rolled back: "
            "open it without autocommit, or begin a transaction"
        )
