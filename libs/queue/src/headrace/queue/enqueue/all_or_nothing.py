"""Enqueues a batch as a whole: all of its jobs, or none and an error that says what is wrong with which.

An enqueuer returns one result per job, and what it accepts stays although other jobs of the batch are rejected. Here a
rejection undoes the others: by a savepoint inside the caller's transaction, which goes on; by rolling back where the
batch has begun the transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import psycopg
from psycopg.pq import TransactionStatus

from headrace.queue.db.caller_connection import (
    AnyAsyncConnection,
    AnyConnection,
    commits_each,
    psycopg_async_connection,
    psycopg_connection,
)
from headrace.queue.enqueue.enqueuer import Enqueuer
from headrace.queue.enqueue.new_job import NewJob
from headrace.queue.enqueue.results import Enqueued
from headrace.queue.errors import BatchRejectedError, EnqueueError


def enqueue_all(enqueuer: Enqueuer, connection: AnyConnection, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Enqueues jobs on a blocking connection or session.

    Raises:
        BatchRejectedError: At least one job is rejected.
    """
    with _undone_on_error(psycopg_connection(connection, "enqueue_many")):
        return _accepted(enqueuer.enqueue_many(connection, jobs))


async def enqueue_all_async(
    enqueuer: Enqueuer, connection: AnyAsyncConnection, jobs: Sequence[NewJob]
) -> list[Enqueued]:
    """Enqueues jobs on an asynchronous connection or session.

    Raises:
        BatchRejectedError: At least one job is rejected.
    """
    async with _undone_on_error_async(await psycopg_async_connection(connection, "enqueue_many_async")):
        return _accepted(await enqueuer.enqueue_many_async(connection, jobs))


def _accepted(results: Sequence[Enqueued | EnqueueError]) -> list[Enqueued]:
    if errors := {index: each for index, each in enumerate(results) if isinstance(each, EnqueueError)}:
        raise BatchRejectedError(len(results), errors)
    return [each for each in results if isinstance(each, Enqueued)]


@contextmanager
def _undone_on_error(driver: psycopg.Connection) -> Iterator[None]:
    if not _begins_here(driver):
        with driver.transaction():  # a savepoint, or on an idle connection with autocommit, a transaction
            yield
        return
    try:
        yield
    except EnqueueError:
        driver.rollback()
        raise


@asynccontextmanager
async def _undone_on_error_async(driver: psycopg.AsyncConnection) -> AsyncIterator[None]:
    if not _begins_here(driver):
        async with driver.transaction():
            yield
        return
    try:
        yield
    except EnqueueError:
        await driver.rollback()
        raise


def _begins_here(driver: psycopg.Connection | psycopg.AsyncConnection) -> bool:
    """Whether the batch's first statement begins the caller's transaction, which the caller commits."""
    return not commits_each(driver) and driver.info.transaction_status == TransactionStatus.IDLE
