"""A kind outlives its name: jobs under a former one are accepted, run, deduplicated and ticked as jobs of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from eventually import Eventually
from google.protobuf.any_pb2 import Any as AnyMessage
from releases import PACKAGE, kinds_here, kinds_of, message

from headrace.queue import (
    Enqueued,
    Enqueuer,
    Handlers,
    JobFilter,
    JobState,
    KindMisconfiguredError,
    KindOverride,
    Kinds,
    KindUnknownError,
    NewJob,
    OptionInvalidError,
    Periodic,
    RunningJob,
    Unique,
    VersionUnknownError,
    Worker,
    WorkerSettings,
    create_periodic_async,
    get_job_async,
    job_kind,
    list_jobs_async,
)
from headrace.queue.db import migrate
from headrace.queue.kinds.descriptors import fingerprint
from headrace.queue.kinds.revisions import registered_kinds

OLD, NEW = f"{PACKAGE}.SendMail", f"{PACKAGE}.SendLetter"
BEFORE = message("SendMail", "string id = 1;")
AFTER = message("SendLetter", "string id = 1; string more = 2;", former_names=f'["{OLD}"]')


@pytest.fixture
def before() -> Kinds:
    """The kinds of the release before the renaming."""
    return kinds_here("before", BEFORE)


@pytest.fixture
def after() -> Kinds:
    """Those of the release with it."""
    return kinds_here("after", AFTER)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection to a migrated database."""
    migrate.up(database)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    """Runs a worker for the length of a block."""
    run = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await run


def new_job(kinds: Kinds, name: str, **options: Any) -> NewJob:
    """A job as a client of that name sends it."""
    payload = kinds[name].message_class(id="17").SerializeToString()
    return NewJob(AnyMessage(type_url=f"type.googleapis.com/{name}", value=payload), caller="api", **options)


async def accept(connection: psycopg.AsyncConnection[Any], kinds: Kinds, *jobs: NewJob) -> list[Any]:
    """What a release's enqueuer returns."""
    return await Enqueuer(kinds, hash_keys=(b"test",)).enqueue_many_async(connection, jobs)


def test_a_kind_is_found_by_each_of_its_names(after: Kinds) -> None:
    assert after.names == (NEW,)
    assert OLD in after
    assert after[OLD] is after[NEW]
    assert (after[NEW].names, after[NEW].original_name) == ((NEW, OLD), OLD)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (message("A", "", former_names='["not a name"]'), "must be full names"),
        (message("A", "", former_names=f'["{PACKAGE}.A"]'), "must differ from each other and from the name"),
        (message("A", "", former_names='["x.B", "x.B"]'), "must differ from each other and from the name"),
        (message("A", "", former_names='["x.C"]') + message("B", "", former_names='["x.C"]'), "the kind x.C"),
        (BEFORE + AFTER, f"the kind {OLD}"),
    ],
)
def test_names_that_make_no_sense_are_refused_at_the_start(text: str, complaint: str) -> None:
    with pytest.raises(KindMisconfiguredError, match=complaint):
        kinds_of(text)


@pytest.mark.parametrize("name", [OLD, NEW])
def test_an_override_may_name_a_kind_by_a_former_name(name: str) -> None:
    file = kinds_here("after", AFTER)[NEW].message_class.DESCRIPTOR.file
    kinds = Kinds.of_file(file, overrides={name: KindOverride(max_retries=9)})
    assert kinds[NEW].max_retries == 9


def test_a_class_with_json_has_former_names_too() -> None:
    @job_kind("shop.SendLetter", former_names=["shop.SendMail"])
    @dataclass
    class SendLetter:
        id: str

    assert Kinds([SendLetter])["shop.SendMail"].message_class is SendLetter


async def test_a_job_keeps_the_name_that_it_came_under(connection: psycopg.AsyncConnection[Any], after: Kinds) -> None:
    old, new = await accept(connection, after, new_job(after, OLD), new_job(after, NEW))
    assert [(await get_job_async(connection, each.job_id)).kind for each in (old, new)] == [OLD, NEW]


async def test_workers_of_both_releases_run_what_they_know_and_new_ones_run_everything(
    connection: psycopg.AsyncConnection[Any], database: str, before: Kinds, after: Kinds, eventually: Eventually
) -> None:
    [by_old_door] = await accept(connection, before, new_job(before, OLD))
    by_new_door, new = await accept(connection, after, new_job(after, OLD), new_job(after, NEW))
    ran: dict[int, tuple[str, str]] = {}

    def worker(kinds: Kinds, name: str, release: str) -> Worker:
        async def handle(message: Any, job: RunningJob) -> None:
            ran[job.id] = (release, message.DESCRIPTOR.full_name)

        handlers = Handlers(kinds)
        handlers.add(kinds[name].message_class, handle)
        return Worker(database, handlers, settings=WorkerSettings(poll_interval=timedelta(milliseconds=100)))

    async with running(worker(before, OLD, "before")):
        await eventually(lambda: _done(connection, 2))
    assert ran == {each.job_id: ("before", OLD) for each in (by_old_door, by_new_door)}
    with psycopg.connect(database) as blocking:
        [registered] = registered_kinds(blocking, [OLD, NEW])
    assert (registered.kind, registered.version, registered.fingerprint) == (
        OLD,
        1,
        fingerprint(before[OLD].message_class.DESCRIPTOR),
    )
    [late] = await accept(connection, before, new_job(before, OLD))
    async with running(worker(after, NEW, "after")):
        await eventually(lambda: _done(connection, 4))
    assert (ran[new.job_id], ran[late.job_id]) == (("after", NEW), ("after", NEW))
    assert [job.attempt for job in await list_jobs_async(connection)] == [1, 1, 1, 1]


async def test_a_key_stands_for_its_job_whichever_release_and_name_it_comes_by(
    connection: psycopg.AsyncConnection[Any], before: Kinds, after: Kinds
) -> None:
    [first] = await accept(connection, before, new_job(before, OLD, key="k"))
    for kinds, name in ((after, OLD), (after, NEW), (before, OLD)):
        [again] = await accept(connection, kinds, new_job(kinds, name, key="k"))
        assert again == Enqueued(first.job_id, duplicate=True, reason="key")


async def test_a_batch_with_both_names_under_one_key_makes_one_job(
    connection: psycopg.AsyncConnection[Any], after: Kinds
) -> None:
    first, second = await accept(connection, after, new_job(after, NEW, key="k"), new_job(after, OLD, key="k"))
    assert second == Enqueued(first.job_id, duplicate=True, reason="key")


async def test_a_job_is_unique_whichever_release_and_name_it_comes_by(
    connection: psycopg.AsyncConnection[Any], before: Kinds, after: Kinds
) -> None:
    [first] = await accept(connection, after, new_job(after, NEW, unique=Unique(by=("id",))))
    for kinds, name in ((after, OLD), (before, OLD)):
        [again] = await accept(connection, kinds, new_job(kinds, name, unique=Unique(by=("id",))))
        assert again == Enqueued(first.job_id, duplicate=True, reason="unique")


async def test_a_periodic_job_ticks_on_under_a_former_name(
    connection: psycopg.AsyncConnection[Any], database: str, before: Kinds, after: Kinds, eventually: Eventually
) -> None:
    letters = Periodic("letters", every=timedelta(hours=1), payload=before[OLD].message_class(id="17"))
    await create_periodic_async(connection, letters, kinds=before)
    told: list[str] = []

    async def handle(message: Any, job: RunningJob) -> None:
        told.append(message.id)

    handlers = Handlers(after)
    handlers.add(after[NEW].message_class, handle)
    async with running(Worker(database, handlers)):
        await eventually(lambda: _done(connection, 1))
    assert told == ["17"]


async def test_a_job_has_the_version_that_it_was_written_in(connection: psycopg.AsyncConnection[Any]) -> None:
    kinds, name = kinds_here("stepped", message("SendParcel", "string id = 1;", version=2)), f"{PACKAGE}.SendParcel"
    older, own = await accept(connection, kinds, new_job(kinds, name, version=1), new_job(kinds, name))
    assert [(await get_job_async(connection, each.job_id)).version for each in (older, own)] == [1, 2]


async def test_a_version_that_the_enqueuer_does_not_know_is_rejected_like_a_kind(
    connection: psycopg.AsyncConnection[Any], before: Kinds
) -> None:
    unknown, wrong = await accept(connection, before, new_job(before, OLD, version=2), new_job(before, OLD, version=-1))
    assert isinstance(unknown, VersionUnknownError)
    assert (unknown.kind, unknown.version, unknown.known) == (OLD, 2, 1)
    assert isinstance(wrong, OptionInvalidError)
    assert str(wrong) == "version must be at least 1"


async def test_a_name_that_is_none_is_still_unknown(
    connection: psycopg.AsyncConnection[Any], before: Kinds, after: Kinds
) -> None:
    [refused] = await accept(connection, before, new_job(after, NEW))
    assert isinstance(refused, KindUnknownError)


async def _done(connection: psycopg.AsyncConnection[Any], number: int) -> bool:
    return len(await list_jobs_async(connection, JobFilter(states=(JobState.COMPLETED,)))) == number
