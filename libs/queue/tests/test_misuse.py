"""What a type checker would have caught is rejected where it is given, under the argument's name."""

# mypy: disable-error-code="arg-type, dict-item, list-item"
from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from engine_kinds import TestKinds
from installation import Installation

from headrace.queue import (
    Enqueued,
    Enqueuer,
    Handlers,
    JobFilter,
    JobState,
    KindMisconfiguredError,
    KindOverride,
    Kinds,
    Limits,
    NewJob,
    NotAJobKindError,
    OptionInvalidError,
    Periodic,
    Retention,
    Retry,
    RetryPolicy,
    RunningJob,
    Snooze,
    Unique,
    Worker,
    WorkerSettings,
    cancel_job_async,
    delete_jobs_async,
    get_job_async,
    job_kind,
    limit_queue_async,
    list_jobs_async,
    pause_queue_async,
    resume_queue_async,
    retry_jobs_async,
    run_worker,
    set_retention_async,
)

HOUR = timedelta(hours=1)
NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001

OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"queue": 5}, "queue must have 1 to 100 printable characters"),
    ({"priority": "high"}, "priority must be 1 (first) to 4 (last)"),
    ({"priority": 2.5}, "priority must be 1 (first) to 4 (last)"),
    ({"priority": True}, "priority must be 1 (first) to 4 (last)"),
    ({"max_retries": "3"}, "max_retries must be 0 to 1000"),
    ({"timeout": 30}, "timeout must be a timedelta, not 30"),
    ({"run_at": "2030-01-01"}, "run_at must be a datetime with a time zone, not '2030-01-01'"),
    ({"run_at": date(2030, 1, 1)}, "run_at must be a datetime with a time zone, not datetime.date(2030, 1, 1)"),
    ({"run_after": 5}, "run_after must be a timedelta, not 5"),
    ({"run_after": timedelta.max}, "run_after must be at most ten years"),
    ({"run_after": HOUR, "run_at": datetime.now(UTC)}, "run_after can't be given together with run_at"),
    ({"key": None}, "idempotency_key must be text, empty for none; not None"),
    ({"caller": 5}, "caller must be text, empty for none; not 5"),
    ({"tags": None}, "tags must be a list of words, not None"),
    ({"tags": [5]}, "tags[0] must have 1 to 100 printable characters"),
    ({"version": "1"}, "version must be at least 1"),
    ({"unique": "name"}, """unique must be a Unique, such as Unique(by=("order",)), not 'name'"""),
    ({"unique": Unique(by="name")}, """unique.by must be a tuple of names of fields, such as ("order",), not 'name'"""),
    ({"unique": Unique(by=None)}, """unique.by must be a tuple of names of fields, such as ("order",), not None"""),
    ({"unique": Unique(period=5)}, "unique.period must be a timedelta, not 5"),
    (
        {"unique": Unique(states=frozenset({*JobState, "bogus"}))},
        "unique.states must be states of a job, not bogus",
    ),
]


@pytest.mark.parametrize(("options", "text"), OPTIONS, ids=[text for _, text in OPTIONS])
async def test_an_option_of_another_type_is_a_refusal_that_names_it(
    installation: Installation, options: dict[str, Any], text: str
) -> None:
    async with await installation.connect(autocommit=False) as connection:
        jobs = [NewJob(TestKinds.Greet(), **options), NewJob(TestKinds.Greet())]
        refused, accepted = await installation.enqueuer.enqueue_many_async(connection, jobs)
    assert isinstance(refused, OptionInvalidError)
    assert str(refused) == text
    assert isinstance(accepted, Enqueued)
    assert (await installation.job(accepted.job_id)).state == "available", "the transaction goes on"


@pytest.mark.parametrize(
    "jobs",
    [NewJob(TestKinds.Greet()), (NewJob(TestKinds.Greet()) for _ in range(2)), [TestKinds.Greet()], [None]],
    ids=["one job", "a generator", "a payload", "nothing"],
)
async def test_an_enqueuer_rejects_whatever_is_not_a_new_job(installation: Installation, jobs: Any) -> None:
    async with await installation.connect() as connection:
        with pytest.raises(TypeError, match=r"takes (a list of NewJob|NewJob\(payload, …\)), and this is a "):
            await installation.enqueuer.enqueue_many_async(connection, jobs)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (KindOverride(timeout=30), "timeout must be a timedelta, not 30"),
        (KindOverride(max_retries="3"), "max_retries must be 0 to 1000"),
        (KindOverride(priority=1.5), r"priority must be 1 \(first\)"),
    ],
)
def test_so_is_one_of_a_kind(override: KindOverride, text: str) -> None:
    with pytest.raises(KindMisconfiguredError, match=text):
        Kinds([TestKinds.Greet], overrides={"headrace.test.v1.Greet": override})


def test_an_instance_is_not_a_kind() -> None:
    with pytest.raises(NotAJobKindError, match="is not a job kind: give the class"):
        Kinds([object()])


def test_a_decorator_without_its_name_shows_how_it_is_written() -> None:
    with pytest.raises(
        KindMisconfiguredError, match=r'@job_kind needs the name of the kind: @job_kind\("shop.Order"\)'
    ):

        @job_kind
        class Order:
            pass


async def greet(message: Any, job: RunningJob) -> None:
    """Does nothing."""


def yields(message: Any, job: RunningJob) -> Any:
    """A generator function, which calling does not run."""
    yield


def kinds() -> Kinds:
    """One kind."""
    return Kinds([TestKinds.Greet])


TYPES: list[tuple[Callable[..., Any], str]] = [
    (lambda: WorkerSettings(slots="10"), "worker settings: slots must be of type int, not '10'"),
    (lambda: WorkerSettings(slots=True), "worker settings: slots must be of type int, not True"),
    (lambda: WorkerSettings(poll_interval=1), "worker settings: poll_interval must be of type timedelta, not 1"),
    (lambda: WorkerSettings(drain_timeout=5.0), "worker settings: drain_timeout must be of type timedelta, not 5.0"),
    (lambda: WorkerSettings(queue_slots={"email": None}), "queue_slots['email'] must be of type int, not None"),
    (lambda: WorkerSettings(queue_slots=["email"]), "worker settings: queue_slots must be of type Mapping"),
    (lambda: WorkerSettings(retention=HOUR), "worker settings: retention must be of type Retention"),
    (lambda: WorkerSettings(listen="no"), "worker settings: listen must be of type bool, not 'no'"),
    (lambda: WorkerSettings(name=None), "worker settings: name must be of type str, not None"),
    (lambda: Retention(completed=None), "retention: completed must be of type timedelta, not None"),
    (lambda: RetryPolicy(base=3), "retry policy: base must be of type timedelta, not 3"),
    (lambda: RetryPolicy(factor="4"), "retry policy: factor must be of type Real, not '4'"),
    (lambda: Limits(batch=1.5), "limits: batch must be of type int, not 1.5"),
    (lambda: Retry("away", after=5), "Retry: after must be of type timedelta, not 5"),
    (lambda: Snooze(5), "Snooze: delay must be of type timedelta, not 5"),
    (lambda: JobFilter(states=JobState.COMPLETED), "job filter: states must be a tuple of strings, not <JobState"),
    (lambda: JobFilter(queues="email"), "job filter: queues must be a tuple of strings, not 'email'"),
    (lambda: JobFilter(kinds=None), "job filter: kinds must be a tuple of strings, not None"),
    (lambda: JobFilter(tags=("a", 5)), "job filter: tags[1] must be of type str, not 5"),
    (lambda: JobFilter(created_after="2030"), "job filter: created_after must be of type datetime, not '2030'"),
    (lambda: Periodic(5, payload=None, every=HOUR), "periodic job: name must be of type str, not 5"),
    (lambda: Enqueuer(kinds(), hash_keys=b"secret"), "hash_keys: give a list of keys"),
    (lambda: Enqueuer(kinds(), hash_keys=["secret"]), "hash_keys: [0] must be of type bytes"),
    (lambda: Enqueuer(kinds(), key_lifetime=7), "Enqueuer: key_lifetime must be of type timedelta, not 7"),
    (
        lambda: Handlers(kinds()).add(TestKinds.Greet, None),
        "the handler of headrace.test.v1.Greet must be a function, not None",
    ),
    (lambda: Handlers(kinds()).add(TestKinds.Greet, yields), "yields: it never runs"),
    (lambda: Handlers(kinds()).use(yields), "a middleware must be a plain function or an async def"),
    (lambda: Handlers(kinds()).use("x"), "a middleware must be a function, not 'x'"),
]


@pytest.mark.parametrize(("make", "text"), TYPES, ids=[text for _, text in TYPES])
def test_an_argument_of_another_type_is_named(make: Callable[..., Any], text: str) -> None:
    with pytest.raises(TypeError, match=re.escape(text)):
        make()


VALUES: list[tuple[Callable[..., Any], str]] = [
    (lambda: WorkerSettings(name=""), "worker settings: a name has 1 to 200 printable characters"),
    (lambda: WorkerSettings(name="a\0b"), "worker settings: a name has 1 to 200 printable characters"),
    (lambda: Retention(completed=-HOUR), "retention: completed must be at least 0 and at most ten years"),
    (lambda: Retention(discarded=timedelta.max), "retention: discarded must be at least 0 and at most ten years"),
    (lambda: Limits(batch=0), "limits: payload_bytes and batch must be at least 1"),
    (
        lambda: Enqueuer(kinds(), key_lifetime=timedelta(0)),
        "Enqueuer: key_lifetime must be above 0 and at most ten years",
    ),
    (lambda: JobFilter(states=("bogus",)), "job filter: bogus is not a state; the states are scheduled, available,"),
    (lambda: JobFilter(created_before=NAIVE), "created_before must have a time zone"),
    (lambda: Periodic("fast", payload=None, every=timedelta(microseconds=1)), "every must be at least 0:00:00.100000"),
    (lambda: Periodic("a", payload=None, every=5), "periodic job 'a': every must be a timedelta, not 5"),
    (lambda: Periodic("a", payload=None, cron=5), "periodic job 'a': cron must be text, not 5"),
]


@pytest.mark.parametrize(("make", "text"), VALUES, ids=[text for _, text in VALUES])
def test_a_value_that_makes_no_sense_is_named(make: Callable[..., Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


async def test_two_periodic_jobs_of_one_name_are_refused(installation: Installation) -> None:
    handlers = Handlers(kinds())
    handlers.add(TestKinds.Greet, greet)
    twice = [Periodic("pulse", payload=TestKinds.Greet(name=name), every=HOUR) for name in ("Ada", "Bob")]
    with pytest.raises(ValueError, match="periodic jobs: pulse is declared twice"):
        Worker(installation.dsn, handlers, periodic=twice)


@pytest.mark.parametrize("action", [retry_jobs_async, delete_jobs_async])
async def test_an_empty_filter_is_never_every_job_however_it_is_written(
    installation: Installation, action: Callable[..., Any]
) -> None:
    async with await installation.connect() as connection:
        for empty in (JobFilter(), JobFilter(states=[], kinds=[]), JobFilter(tags=frozenset())):
            with pytest.raises(ValueError, match="an empty filter would select every job"):
                await action(connection, empty)


async def test_lists_and_sets_of_words_are_as_good_as_tuples(installation: Installation) -> None:
    job_id = await installation.enqueue(TestKinds.Greet(), tags=["red"])
    async with await installation.connect() as connection:
        for same in (JobFilter(tags=["red"], states={"available"}), JobFilter(tags=("red",))):
            assert [job.id for job in await list_jobs_async(connection, same)] == [job_id]


async def test_a_page_needs_a_length_and_ends_below_its_first_id(installation: Installation) -> None:
    await installation.enqueue(TestKinds.Greet())
    async with await installation.connect() as connection:
        for limit in (0, -1):
            with pytest.raises(ValueError, match=f"list_jobs: limit must be at least 1, not {limit}"):
                await list_jobs_async(connection, limit=limit)
        with pytest.raises(TypeError, match="list_jobs: limit must be of type int, not '5'"):
            await list_jobs_async(connection, limit="5")
        assert await list_jobs_async(connection, before_id=0) == []


async def test_a_malformed_id_or_name_is_rejected_before_postgres_sees_it(installation: Installation) -> None:
    async with await installation.connect() as connection:
        for wrong in ("1", 1.5, None):
            with pytest.raises(TypeError, match="job_id must be of type int"):
                await cancel_job_async(connection, wrong)
        for name in ("", "x" * 101, "a\0b"):
            with pytest.raises(ValueError, match=r"queue name '.*': use 1 to 100 printable characters"):
                await pause_queue_async(connection, name, by="me")
        with pytest.raises(TypeError, match="queue: name must be of type str, not None"):
            await resume_queue_async(connection, None)
        with pytest.raises(TypeError, match=r"limit of queue 'email': max_running must be of type int, not 1\.5"):
            await limit_queue_async(connection, "email", 1.5)
        with pytest.raises(ValueError, match="max_running of queue 'email' must be at most 2147483647; None lifts"):
            await limit_queue_async(connection, "email", 2**40)
        with pytest.raises(TypeError, match="retention of queue 'email': completed must be of type timedelta, not 5"):
            await set_retention_async(connection, "email", completed=5)


async def test_a_connection_with_cursors_of_another_style_will_do(installation: Installation) -> None:
    job_id = await installation.enqueue(TestKinds.Greet())
    async with await installation.connect() as connection:
        connection.cursor_factory = psycopg.AsyncRawCursor
        assert (await get_job_async(connection, job_id)).id == job_id
        assert (await cancel_job_async(connection, job_id)).state == "cancelled"


async def test_a_time_with_any_zone_will_do(installation: Installation) -> None:
    job_id = await installation.enqueue(TestKinds.Greet())
    async with await installation.connect() as connection:
        seen = await list_jobs_async(connection, JobFilter(created_after=datetime.now(UTC) - HOUR))
    assert [job.id for job in seen] == [job_id]


async def test_where_no_tables_are_the_error_says_how_they_come_there(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for ask in (
            list_jobs_async(connection),
            Enqueuer(kinds()).enqueue_many_async(connection, [NewJob(TestKinds.Greet())]),
        ):
            with pytest.raises((psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)) as caught:
                await ask
            assert "run `headrace migrate up`" in caught.value.__notes__[0]


def test_an_enqueuer_rejects_a_schema_that_would_need_quoting() -> None:
    with pytest.raises(ValueError, match="schema name 'Jobs': use up to 41 lower-case letters"):
        Enqueuer(kinds(), schema="Jobs")


async def test_a_worker_needs_a_connection_string_and_runs_once(installation: Installation) -> None:
    handlers = installation.handlers(Greet=greet)
    with pytest.raises(TypeError, match="a worker: dsn must be of type str, not None"):
        Worker(None, handlers)
    with pytest.raises(ValueError, match="a worker: dsn is not a connection string of Postgres: missing"):
        Worker("garbage", handlers)
    worker = installation.worker(handlers)
    async with installation.working(worker):
        pass
    with pytest.raises(
        RuntimeError, match="this worker has been run before, and a worker runs once: create another one"
    ):
        await worker.run()


async def test_run_worker_says_where_it_can_be_called(installation: Installation) -> None:
    handlers = installation.handlers(Greet=greet)
    with pytest.raises(RuntimeError, match="one is running here: await Worker"):
        run_worker(installation.dsn, handlers)
    with pytest.raises(RuntimeError, match="only the main thread can"):
        await asyncio.to_thread(run_worker, installation.dsn, handlers)
