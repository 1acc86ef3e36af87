"""Migrations: any number at once, each once, never changed behind anybody's back; installations side by side."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from engine_kinds import FILE, TestKinds
from typer.testing import CliRunner

from headrace.queue import (
    Door,
    Handlers,
    JobNotFound,
    Kinds,
    NewJob,
    RunningJob,
    SchemaOutdated,
    Worker,
    get_job,
    list_jobs,
    migrate,
)
from headrace.queue.cli import app
from headrace.queue.migrate import MigrationChanged

ALL = ["0001_jobs", "0002_features"]


def test_up_applies_what_is_missing_and_then_nothing(database: str) -> None:
    assert [m.applied_at for m in migrate.status(database)] == [None] * len(ALL)
    assert [str(migration) for migration in migrate.up(database)] == ALL
    assert migrate.up(database) == []
    assert all(migration.applied_at for migration in migrate.status(database))
    migrate.require_current(database)


def test_any_number_of_processes_may_migrate_at_once(database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate.up(database), range(4)))
    assert sorted(str(migration) for each in applied for migration in each) == ALL


def test_a_migration_that_was_changed_afterwards_is_an_error(database: str) -> None:
    migrate.up(database)
    with psycopg.connect(database) as connection:
        connection.execute("update headrace.migrations set checksum = 'another'")
    with pytest.raises(MigrationChanged, match="0001_jobs was applied to schema 'headrace' with other content"):
        migrate.up(database)


def test_a_database_without_migrations_is_told_what_to_run(database: str) -> None:
    with pytest.raises(SchemaOutdated, match=r"lacks 2 migrations \(.*\): run `headrace migrate up`"):
        migrate.require_current(database)


def test_a_migration_that_fails_leaves_nothing_behind(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create schema headrace")
        connection.execute("create table headrace.workers (mine int)")
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate.up(database)
        assert [m.applied_at for m in migrate.status(database)] == [None] * len(ALL)
        assert connection.execute("select to_regclass('headrace.jobs')").fetchone() == (None,)


@pytest.mark.parametrize("schema", ["Jobs", "a-b", "x; drop table users", "1st", "", "x" * 42])
def test_a_schema_name_that_would_need_quoting_is_refused(schema: str) -> None:
    with pytest.raises(ValueError, match="use up to 41 lower-case letters, digits and underscores"):
        migrate.up("postgresql://nowhere", schema=schema)


async def test_two_installations_in_one_database_dont_see_each_other(database: str, eventually: Any) -> None:
    ran: list[str] = []
    kinds = Kinds.of_file(FILE)

    def worker(schema: str) -> Worker:
        async def greet(message: Any, job: RunningJob) -> None:
            ran.append(f"{schema} {message.name}")

        handlers = Handlers(kinds)
        handlers.add(TestKinds.Greet, greet)
        return Worker(database, handlers, schema=schema)

    ids = {}
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for schema in ("one", "two"):
            migrate.up(database, schema=schema)
            new = NewJob(TestKinds.Greet(name=f"for {schema}"), key="the same key")
            ids[schema] = (await Door(kinds, schema=schema).accept_one_async(connection, new)).job_id
        await Door(kinds, schema="two").accept_async(connection, [NewJob(TestKinds.Count())])
        with pytest.raises(JobNotFound):
            await get_job(connection, ids["two"] + 1, schema="one")
        assert len(await list_jobs(connection, schema="one")) == 1

        async def completed(schema: str) -> bool:
            return (await get_job(connection, ids[schema], schema=schema)).state == "completed"

        for schema in ("one", "two"):
            own = worker(schema)
            run = asyncio.create_task(own.run())
            await eventually(lambda schema=schema: completed(schema))
            own.stop()
            await run
    assert ran == ["one for one", "two for two"]


def test_the_command_does_the_same_from_a_shell(database: str) -> None:
    def headrace(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["migrate", *words], env={"JOBS_MIGRATION_DATABASE_URL": database})
        return result.exit_code, result.output

    assert headrace("status") == (1, "0001_jobs  missing\n0002_features  missing\n")
    assert headrace("up") == (0, "applied 0001_jobs\napplied 0002_features\nschema headrace is current\n")
    assert headrace("up") == (0, "schema headrace is current\n")
    code, listed = headrace("status")
    assert (code, "missing" in listed) == (0, False)
    code, complaint = headrace("up", "--schema", "No")
    assert (code, "use up to 41 lower-case letters" in complaint) == (1, True)
