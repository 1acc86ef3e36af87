"""Middleware goes around enqueueing, for blocking and asynchronous callers alike."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from engine_kinds import TestKinds
from installation import Installation

from headrace.queue import Enqueued, EnqueueError, Enqueuer, KindUnknownError, NewJob

log: list[str] = []


class NotTodayError(EnqueueError):
    """A refusal of the middleware's own."""


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


@pytest.fixture
def enqueuer(installation: Installation) -> Enqueuer:
    enqueuer: Enqueuer = installation.enqueuer
    return enqueuer


def stamping(word: str) -> Any:
    def stamp(jobs: Any) -> Generator[Any, Any, None]:
        log.append(f"{word} before {len(jobs)}")
        results = yield [replace(job, tags=(*job.tags, word)) for job in jobs]
        log.append(f"{word} after {len(results)}")

    return stamp


def stamping_async(word: str) -> Any:
    async def stamp(jobs: Any, call_next: Any) -> Any:
        log.append(f"{word} before {len(jobs)}")
        results = await call_next([replace(job, tags=(*job.tags, word)) for job in jobs])
        log.append(f"{word} after {len(results)}")
        return results

    return stamp


async def accept(installation: Installation, blocking: bool, jobs: list[NewJob]) -> list[Any]:
    """Accepts and commits."""
    if not blocking:
        async with await installation.connect(autocommit=False) as connection:
            return list(await installation.enqueuer.enqueue_many_async(connection, jobs))

    def in_thread() -> list[Any]:
        with psycopg.connect(installation.dsn) as connection:
            return list(installation.enqueuer.enqueue_many(connection, jobs))

    return await asyncio.to_thread(in_thread)


async def tags(installation: Installation) -> list[Any]:
    rows = await installation.execute("select kind, tags from headrace.jobs order by id")
    return [(kind.rpartition(".")[2], tags) for kind, tags in rows]


BOTH = [NewJob(TestKinds.Greet()), NewJob(TestKinds.Count()), NewJob(TestKinds.Greet())]


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_generator_serves_both_and_the_first_is_the_outermost(
    blocking: bool, installation: Installation, enqueuer: Enqueuer
) -> None:
    enqueuer.use(stamping("outer"))
    enqueuer.use(stamping("of greetings"), TestKinds.Greet)
    results = await accept(installation, blocking, BOTH)
    assert [type(result) for result in results] == [Enqueued] * 3
    assert log == ["outer before 3", "of greetings before 2", "of greetings after 2", "outer after 3"]
    assert await tags(installation) == [
        ("Greet", ["outer", "of greetings"]),
        ("Count", ["outer"]),
        ("Greet", ["outer", "of greetings"]),
    ]


async def test_an_async_def_serves_asynchronous_callers_beside_generators(
    installation: Installation, enqueuer: Enqueuer
) -> None:
    enqueuer.use(stamping("outer"))
    enqueuer.use(stamping_async("async"), TestKinds.Greet)
    enqueuer.use(stamping("inner"))
    await accept(installation, False, BOTH)
    assert log == [
        *("outer before 3", "async before 2", "inner before 3"),
        *("inner after 3", "async after 2", "outer after 3"),
    ]
    assert [each for _, each in await tags(installation)] == [
        ["outer", "async", "inner"],
        ["outer", "inner"],
        ["outer", "async", "inner"],
    ]


async def test_an_async_def_is_never_silently_gone_past(installation: Installation, enqueuer: Enqueuer) -> None:
    enqueuer.use(stamping_async("async"))
    with pytest.raises(TypeError, match="is an async def, which can't run in a blocking call"):
        await accept(installation, True, BOTH)
    assert await tags(installation) == []


@pytest.mark.parametrize("blocking", [False, True])
async def test_it_can_refuse_single_jobs_and_change_what_is_answered(
    blocking: bool, installation: Installation, enqueuer: Enqueuer
) -> None:
    refusal, other = NotTodayError("closed on Sundays"), NotTodayError("another answer")

    def no_greetings(jobs: Any) -> Generator[Any, Any, Any]:
        results = yield [job if "Count" in job.payload.DESCRIPTOR.name else refusal for job in jobs]
        assert results[0] is refusal
        return [*results[:-1], other]

    enqueuer.use(no_greetings)
    first, second, third = await accept(installation, blocking, BOTH)
    assert (first, third) == (refusal, other)
    assert isinstance(second, Enqueued)
    assert await tags(installation) == [("Count", None)]


async def test_one_job_that_is_refused_is_raised(installation: Installation, enqueuer: Enqueuer) -> None:
    def no(jobs: Any) -> Generator[Any, Any, None]:
        yield [NotTodayError("no") for _ in jobs]

    enqueuer.use(no)
    with pytest.raises(NotTodayError):
        await installation.enqueue(TestKinds.Greet())


@pytest.mark.parametrize("blocking", [False, True])
async def test_it_sees_what_goes_wrong_within(blocking: bool, installation: Installation, enqueuer: Enqueuer) -> None:
    def watching(jobs: Any) -> Generator[Any, Any, None]:
        try:
            yield jobs
        except psycopg.Error as error:
            log.append(type(error).__name__)
            raise
        finally:
            log.append("over")

    enqueuer.use(watching)
    await installation.execute("alter table headrace.jobs add check (caller <> 'x')")
    with pytest.raises(psycopg.errors.CheckViolation):
        await accept(installation, blocking, [NewJob(TestKinds.Greet(), caller="x")])
    assert log == ["CheckViolation", "over"]


def never(jobs: Any) -> Generator[Any, Any, None]:
    return
    yield


def twice(jobs: Any) -> Generator[Any, Any, None]:
    yield jobs
    yield jobs


def fewer(jobs: Any) -> Generator[Any, Any, None]:
    yield jobs[1:]


def nothing(jobs: Any) -> Generator[Any, Any, None]:
    yield None


def payloads(jobs: Any) -> Generator[Any, Any, None]:
    yield [job.payload for job in jobs]


async def numbers(jobs: Any, call_next: Any) -> list[Any]:
    return [result.job_id for result in await call_next(jobs)]


async def never_on(jobs: Any, call_next: Any) -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("middleware", "complaint"),
    [
        (never, "must yield once"),
        (twice, "must yield only once"),
        (fewer, "received 3 jobs and returned 2"),
        (nothing, "must return a list of NewJob or EnqueueError, not a NoneType"),
        (payloads, "must return a list of NewJob or EnqueueError, not of Greet"),
        (numbers, "must return a list of Enqueued or EnqueueError, not of int"),
        (never_on, "must call call_next once"),
    ],
)
async def test_one_that_breaks_its_contract_is_an_error(
    middleware: Any, complaint: str, installation: Installation, enqueuer: Enqueuer
) -> None:
    enqueuer.use(middleware)
    with pytest.raises(TypeError, match=complaint):
        await accept(installation, False, BOTH)
    assert await tags(installation) == []


async def test_bulk_is_not_copied_past_it(installation: Installation, enqueuer: Enqueuer) -> None:
    enqueuer.use(stamping("x"))
    async with await installation.connect() as connection:
        with pytest.raises(TypeError, match="COPY would bypass this enqueuer's middleware"):
            await enqueuer.enqueue_many_fast_async(connection, BOTH)


def test_what_can_be_no_middleware_is_refused(enqueuer: Enqueuer) -> None:
    with pytest.raises(TypeError, match="must be a generator function or an async def"):
        enqueuer.use(lambda jobs: jobs)
    with pytest.raises(KindUnknownError):
        enqueuer.use(stamping("x"), TestKinds.NoKind)
