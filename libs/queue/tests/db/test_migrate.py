"""Migrations: any number at once, each once, never changed behind anybody's back; installations side by side."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from engine_kinds import FILE, TestKinds
from eventually import Eventually
from installation import Installation
from typer.testing import CliRunner

from headrace.cli.program import build
from headrace.queue import (
    Enqueuer,
    Handlers,
    JobNotFoundError,
    Kinds,
    NewJob,
    RunningJob,
    SchemaOutdatedError,
    Worker,
    get_job_async,
    list_jobs_async,
)
from headrace.queue.db import migrate
from headrace.queue.db.migrate import MigrationChangedError
from headrace.queue.db.migration_files import OUTSIDE, MigrationFile, migration_files

pytestmark = pytest.mark.postgres_versions

FIRST = "0001_jobs"
PLANTED = ["0002_colours", "0003_colour_index"]
ALL = [FIRST, *PLANTED]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two later migrations, as a coming release may bring them: one is a transaction, one makes an index beside it."""
    colours = MigrationFile(
        2,
        "colours",
        "alter table {schema}.jobs add column colour text;\ncreate table {schema}.colours (name text primary key);\n",
        "drop table {schema}.colours;\nalter table {schema}.jobs drop column colour;\n",
    )
    index = MigrationFile(
        3,
        "colour_index",
        f"{OUTSIDE}\ndrop index concurrently if exists {{schema}}.jobs_coloured;\n"
        "create index concurrently jobs_coloured on {schema}.jobs (colour) where colour is not null;\n",
        f"{OUTSIDE}\ndrop index concurrently if exists {{schema}}.jobs_coloured;\n",
    )
    monkeypatch.setattr(migrate, "migration_files", lambda: (*migration_files(), colours, index))


def test_up_applies_what_is_missing_and_then_nothing(database: str) -> None:
    assert [str(migration) for migration in migrate.status(database)] == [FIRST]
    assert [m.applied_at for m in migrate.status(database)] == [None]
    assert [str(migration) for migration in migrate.up(database)] == [FIRST]
    assert migrate.up(database) == []
    assert all(migration.applied_at for migration in migrate.status(database))
    migrate.require_current(database)


@pytest.mark.usefixtures("planted")
def test_a_later_migration_is_applied_on_top_of_the_earlier_ones(database: str) -> None:
    migrate.down(database, to=0)
    assert [str(migration) for migration in migrate.up(database)] == ALL
    assert [str(migration) for migration in migrate.down(database, to=1)] == PLANTED[::-1]
    with pytest.raises(SchemaOutdatedError, match=r"lacks 2 migrations \(0002_colours, 0003_colour_index\)"):
        migrate.require_current(database)
    assert [str(migration) for migration in migrate.up(database)] == PLANTED
    migrate.require_current(database)


@pytest.mark.usefixtures("planted")
def test_any_number_of_processes_may_migrate_at_once(database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate.up(database), range(4)))
    assert sorted(str(migration) for each in applied for migration in each) == ALL


def test_a_migration_that_was_changed_afterwards_is_an_error(database: str) -> None:
    migrate.up(database)
    with psycopg.connect(database) as connection:
        connection.execute("update headrace.migrations set checksum = 'another'")
    with pytest.raises(MigrationChangedError, match="0001_jobs was applied to schema 'headrace' with other content"):
        migrate.up(database)


def test_a_database_without_migrations_is_told_what_to_run(database: str) -> None:
    with pytest.raises(SchemaOutdatedError, match=r"lacks 1 migrations \(.*\): run `headrace migrate up`"):
        migrate.require_current(database)


def test_a_migration_that_fails_leaves_nothing_behind(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create schema headrace")
        connection.execute("create table headrace.workers (mine int)")
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate.up(database)
        assert [m.applied_at for m in migrate.status(database)] == [None]
        assert connection.execute("select to_regclass('headrace.jobs')").fetchone() == (None,)


@pytest.mark.parametrize("schema", ["Jobs", "a-b", "x; drop table users", "1st", "", "x" * 42])
def test_a_schema_name_that_would_need_quoting_is_refused(schema: str) -> None:
    with pytest.raises(ValueError, match="use up to 41 lower-case letters, digits and underscores"):
        migrate.up("postgresql://nowhere", schema=schema)


async def test_two_installations_in_one_database_dont_see_each_other(database: str, eventually: Eventually) -> None:
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
            ids[schema] = (await Enqueuer(kinds, schema=schema).enqueue_async(connection, new)).job_id
        await Enqueuer(kinds, schema="two").enqueue_many_async(connection, [NewJob(TestKinds.Count())])
        with pytest.raises(JobNotFoundError):
            await get_job_async(connection, ids["two"] + 1, schema="one")
        assert len(await list_jobs_async(connection, schema="one")) == 1

        async def completed(schema: str) -> bool:
            return (await get_job_async(connection, ids[schema], schema=schema)).state == "completed"

        for schema in ("one", "two"):
            own = worker(schema)
            run = asyncio.create_task(own.run())
            await eventually(lambda schema=schema: completed(schema))
            own.stop()
            await run
    assert ran == ["one for one", "two for two"]


@pytest.mark.usefixtures("planted")
def test_the_command_does_the_same_from_a_shell(database: str) -> None:
    def headrace(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(build(), ["migrate", *words], env={"JOBS_MIGRATION_DATABASE_URL": database})
        return result.exit_code, result.output

    assert headrace("status") == (1, "".join(f"{each}  missing\n" for each in ALL))
    assert headrace("up") == (0, "".join(f"applied {each}\n" for each in ALL) + "schema headrace is current\n")
    assert headrace("up") == (0, "schema headrace is current\n")
    code, listed = headrace("status")
    assert (code, "missing" in listed) == (0, False)
    code, complaint = headrace("up", "--schema", "No")
    assert (code, "use up to 41 lower-case letters" in complaint) == (1, True)
    assert headrace("down", "--to", "2") == (0, "reverted 0003_colour_index\nschema headrace is at version 2\n")
    assert headrace("status")[0] == 1
    code, complaint = headrace("print", "--to", "9")
    assert (code, "there is no version 9; the last one is 3" in complaint) == (1, True)
    assert headrace("print", "--from", "2") == (0, migrate.script(start=2))


SHAPE = """
    select table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default, is_identity)
    from information_schema.columns where table_schema = current_schema
    union all select indexname, indexdef from pg_indexes where schemaname = current_schema
    union all select conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    from pg_constraint where connamespace = current_schema::regnamespace and contype <> 'n'
    union all select proname, prosrc from pg_proc where pronamespace = current_schema::regnamespace
    union all select typname, string_agg(enumlabel, ' ' order by enumsortorder)
    from pg_type join pg_enum on enumtypid = pg_type.oid
    where typnamespace = current_schema::regnamespace group by typname
    union all select relname, relkind::text from pg_class
    where relnamespace = current_schema::regnamespace and relkind <> 't'
    order by 1, 2
"""


def shape(database: str, schema: str = "headrace") -> list[Any]:
    """All that a schema consists of: columns, indexes, constraints, functions, types, sequences, and the chores."""
    with psycopg.connect(database) as connection:
        connection.execute(f"set search_path = {schema}")
        found = connection.execute(SHAPE).fetchall()
        if ("chores", "r") in found:
            found += connection.execute("select name, position from chores order by 1").fetchall()
        own = re.compile(rf"\b{schema}(?=[._])")
        return [(name, own.sub("headrace", str(text))) for name, text in found]


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("version", [2, 1])
def test_down_leads_back_to_exactly_what_was_there(database: str, version: int) -> None:
    migrate.up(database)
    whole = shape(database)
    assert [str(migration) for migration in migrate.down(database, to=version)] == ALL[version:][::-1]
    with psycopg.connect(database) as connection:
        connection.execute("create schema other")
        connection.execute(migrate.script(to=version, schema="other").replace("concurrently", ""))
    assert shape(database) == shape(database, "other")
    migrate.up(database)
    assert shape(database) == whole


@pytest.mark.usefixtures("planted")
def test_down_to_nothing_leaves_the_record_of_migrations_alone(database: str) -> None:
    migrate.up(database)
    whole = shape(database)
    assert [str(migration) for migration in migrate.down(database, to=0)] == ALL[::-1]
    assert {name.partition(".")[0] for name, _ in shape(database)} == {"migrations", "migrations_pkey"}
    migrate.up(database)
    assert shape(database) == whole


@pytest.mark.usefixtures("planted")
def test_down_keeps_the_jobs_that_the_earlier_version_knows(database: str) -> None:
    migrate.up(database)
    with psycopg.connect(database) as connection:
        new = NewJob(TestKinds.Greet(name="Ada"), key="k", tags=["a"], metadata={"b": 1})
        accepted = Enqueuer(Kinds.of_file(FILE)).enqueue(connection, new)
    migrate.down(database, to=1)
    migrate.up(database)
    with psycopg.connect(database) as connection:
        row = connection.execute("select id, state, payload, tags from headrace.jobs").fetchone()
        assert row == (accepted.job_id, "available", TestKinds.Greet(name="Ada").SerializeToString(), ["a"])
        again = Enqueuer(Kinds.of_file(FILE)).enqueue(connection, new)
        assert (again.job_id, again.duplicate) == (accepted.job_id, True)


def test_down_refuses_what_a_later_release_has_brought(database: str) -> None:
    migrate.up(database)
    with psycopg.connect(database) as connection:
        connection.execute("insert into headrace.migrations (version, name, checksum) values (9, 'later', '')")
    with pytest.raises(MigrationChangedError, match="is at version 9, which is not known here"):
        migrate.down(database, to=0)
    migrate.require_current(database)
    with pytest.raises(ValueError, match="versions begin with 1"):
        migrate.down(database, to=-1)


@pytest.mark.usefixtures("planted")
def test_what_is_printed_does_what_up_and_down_do(database: str) -> None:
    def psql(script: str) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            bare = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
            for each in re.split(r"(?ms)^(begin;.*?^commit;)", bare):
                for part in [each] if each.startswith("begin;") else each.split(";"):
                    if part.strip():
                        connection.execute(part)

    psql(migrate.script())
    assert migrate.up(database) == []
    printed = shape(database)
    migrate.down(database, to=0)
    migrate.up(database)
    assert shape(database) == printed
    assert migrate.script(start=3, to=3) == "\n"


@pytest.mark.usefixtures("planted")
async def test_a_worker_of_the_version_before_goes_on_while_the_schema_is_migrated(
    installation: Installation, eventually: Eventually
) -> None:
    """An index is made beside it, however long a transaction keeps that from being finished."""

    async def greet(message: Any, job: RunningJob) -> None:
        """Completes its job."""

    await asyncio.to_thread(migrate.up, installation.dsn)
    async with (
        installation.working(installation.worker(installation.handlers(Greet=greet))),
        await installation.connect(autocommit=False) as writer,
    ):
        first = await installation.enqueue(TestKinds.Greet())
        await eventually(lambda: installation.is_in(first, "completed"))
        await asyncio.to_thread(migrate.down, installation.dsn, to=2)
        await writer.execute("update headrace.jobs set attempt = 0 where id = 0")  # and holds its lock
        migration = asyncio.create_task(asyncio.to_thread(migrate.up, installation.dsn))

        async def waits() -> bool:
            return bool(
                await installation.execute("select from pg_stat_progress_create_index where phase like 'wait%'")
            )

        await eventually(waits)
        jobs = [await installation.enqueue(TestKinds.Greet()) for _ in range(5)]
        await eventually(lambda: installation.is_in(jobs[-1], "completed"))
        assert not migration.done()
        await writer.commit()
        assert [str(each) for each in await migration] == PLANTED[1:]


@pytest.mark.usefixtures("planted")
def test_a_lock_that_is_held_is_waited_for_in_short_tries(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 50)
    monkeypatch.setattr(migrate, "BETWEEN_TRIES", 0.01)
    migrate.up(database)
    migrate.down(database, to=1)
    with psycopg.connect(database) as reader, ThreadPoolExecutor(1) as pool:
        reader.execute("select from headrace.jobs")
        monkeypatch.setattr(migrate, "LOCK_TRIES", 2)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migrate.up(database)
        monkeypatch.setattr(migrate, "LOCK_TRIES", 1000)
        later = pool.submit(migrate.up, database)
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("set statement_timeout = '5s'")
            for _ in range(20):
                other.execute("select from headrace.jobs")
        reader.commit()
        assert [str(each) for each in later.result()] == PLANTED
