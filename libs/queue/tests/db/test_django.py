"""A Django project's `django.db.connection` is one more connection: in its transactions, without a line of glue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine_kinds import TestKinds
from installation import Installation
from psycopg.conninfo import conninfo_to_dict

from headrace.queue import (
    Done,
    JobFilter,
    JobState,
    NewJob,
    RunningJob,
    cancel_jobs,
    get_job,
    list_queues,
    pause_queue,
)
from headrace.queue.testing import Kit

pytest.importorskip("django", reason="Django is not installed")

import django.db
from django.conf import settings
from django.db import transaction

# Times without zones are Django's old way: connections are told to load them so, and the engine must not care.
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql"}}
settings.configure(DATABASES=DATABASES, USE_TZ=False, LOGGING_CONFIG=None)
django.setup()


@pytest.fixture
def connection(installation: Installation) -> Iterator[Any]:
    """Django's own connection, to the test's database; not connected yet."""
    given = conninfo_to_dict(installation.dsn)
    place = {"NAME": given["dbname"], "HOST": given["host"], "PORT": given.get("port"), "USER": given.get("user")}
    django.db.connections.settings["default"].update(place)
    yield django.db.connection
    django.db.connection.close()
    del django.db.connections["default"]


def test_a_job_and_a_pause_belong_to_the_atomic_block(installation: Installation, connection: Any) -> None:
    enqueuer = installation.enqueuer
    with transaction.atomic():
        job_id = enqueuer.enqueue(connection, NewJob(TestKinds.Greet(name="Ada"))).job_id
        assert get_job(connection, job_id).state == JobState.AVAILABLE
        assert pause_queue(connection, "greetings", by="ann").paused_by == "ann"
        transaction.set_rollback(True)
    assert list_queues(connection) == []
    with transaction.atomic():
        job_id = enqueuer.enqueue(connection, NewJob(TestKinds.Greet(name="Ada"))).job_id
        pause_queue(connection, "greetings", by="ann")
    connection.close()
    assert get_job(connection, job_id).payload == TestKinds.Greet(name="Ada").SerializeToString()
    assert [queue.paused_by for queue in list_queues(connection)] == ["ann"]


def test_the_first_thing_that_a_connection_does_may_be_to_enqueue(installation: Installation, connection: Any) -> None:
    assert connection.connection is None
    job_id = installation.enqueuer.enqueue(connection, NewJob(TestKinds.Greet(name="Ada"))).job_id
    connection.close()
    assert get_job(connection, job_id).created_at.tzinfo is not None
    assert cancel_jobs(connection, JobFilter(queues=("greetings",))).changed == 1


def test_json_is_loaded_though_django_has_it_as_text(installation: Installation, connection: Any) -> None:
    seen = []

    def greet(message: Any, job: RunningJob) -> Any:
        seen.append(job.metadata)
        if job.attempt == 1:
            raise ValueError("not today")
        return Done({"greeted": message.name})

    kit = Kit(installation.handlers(Greet=greet))
    with transaction.atomic():
        installation.enqueuer.enqueue(connection, NewJob(TestKinds.Greet(name="Ada"), metadata={"tenant": 7}))
        [done] = kit.drain(connection)
        assert get_job(connection, done.id).output == {"greeted": "Ada"}
    assert seen == [{"tenant": 7}, {"tenant": 7}]
    assert [error.message for error in done.errors] == ["not today"]


def test_a_handler_under_the_kit_sees_the_tests_own_rows(installation: Installation, connection: Any) -> None:
    def greet(message: Any, job: RunningJob) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from orders")
            return Done(cursor.fetchone()[0])

    kit = Kit(installation.handlers(Greet=greet))
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("create table orders as select 17 as id")
        installation.enqueuer.enqueue(connection, NewJob(TestKinds.Greet()))
        [done] = kit.drain(connection)
        transaction.set_rollback(True)
    assert done.output == 1


def test_another_database_than_postgres_is_rejected() -> None:
    others = django.db.utils.ConnectionHandler(
        {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    )
    with pytest.raises(TypeError, match=r"get_job takes .*, not a django\..*DatabaseWrapper over sqlite3\.Connection"):
        get_job(others["default"], 1)
    others["default"].close()
