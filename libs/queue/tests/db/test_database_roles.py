"""The database roles can do their work, and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import (
    Enqueued,
    NewJob,
    Periodic,
    Retention,
    RetryPolicy,
    RunningJob,
    Worker,
    WorkerSettings,
    cancel_job_async,
    explain_enqueue_async,
    explain_job_async,
    get_job_async,
    list_jobs_async,
    pause_queue_async,
    queue_stats_async,
    resume_queue_async,
    retry_job_async,
)
from headrace.queue.db import migrate
from headrace.queue.inspection import reasons


class Roles:
    """A role for each purpose. Connections act as one of them."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        suffix = uuid4().hex[:12]
        self.names: dict[migrate.DatabaseRole, str] = {purpose: f"test_{purpose}_{suffix}" for purpose in migrate.ROLES}

    def dsn(self, purpose: migrate.DatabaseRole) -> str:
        return f"{self._dsn}?options={quote(f'-c role={self.names[purpose]}')}"


@pytest.fixture
def roles(installation: Installation) -> Iterator[Roles]:
    """The three roles, granted what they need."""
    roles = Roles(installation.dsn)
    with psycopg.connect(installation.dsn, autocommit=True) as owner:
        for name in roles.names.values():
            owner.execute(psycopg.sql.SQL("create role {}").format(psycopg.sql.Identifier(name)))
        migrate.up(installation.dsn, grants=roles.names)
        yield roles
        for name in roles.names.values():
            owner.execute(psycopg.sql.SQL("drop owned by {0}; drop role {0}").format(psycopg.sql.Identifier(name)))


async def test_the_server_accepts_lists_and_controls(installation: Installation, roles: Roles) -> None:
    async with await psycopg.AsyncConnection.connect(roles.dsn("server"), autocommit=True) as connection:
        jobs = [NewJob(TestKinds.Greet(), key="k"), NewJob(TestKinds.Greet(), key="k"), NewJob(TestKinds.Count())]
        first, again, _ = await installation.enqueuer.enqueue_many_async(connection, jobs)
        assert isinstance(first, Enqueued)
        assert isinstance(again, Enqueued)
        assert again.duplicate
        await cancel_job_async(connection, first.job_id)
        await retry_job_async(connection, first.job_id)
        assert len(await list_jobs_async(connection)) == 2
        assert (await get_job_async(connection, first.job_id)).state == "available"
        assert isinstance((await explain_job_async(connection, first.job_id)).reason, reasons.KindNotKnown)
        asked = await explain_enqueue_async(connection, installation.enqueuer, jobs[0])
        assert isinstance(asked.reason, reasons.Duplicate)
        assert set(await queue_stats_async(connection)) == {"greetings", "numbers"}
        await pause_queue_async(connection, "greetings", by="ann")
        await resume_queue_async(connection, "greetings")


async def test_the_worker_does_all_of_its_work(
    installation: Installation, roles: Roles, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        if job.attempt == 1:
            raise ValueError("once more")

    async def count(message: Any, job: RunningJob) -> None:
        """Completes its job."""

    job_id = await installation.enqueue(TestKinds.Greet(), key="k")
    await installation.execute("update headrace.idempotency_keys set expires_at = now()")
    await installation.execute(
        "insert into headrace.audit_log (at, actor, action, subject) values ('2001-01-01', 'ops', 'PauseAll', 'all')"
    )
    worker = Worker(
        roles.dsn("worker"),
        installation.handlers(Greet=greet, Count=count),
        settings=WorkerSettings(retention=Retention(completed=timedelta(hours=1))),
        retry=RetryPolicy(base=timedelta(milliseconds=10)),
        periodic=[Periodic("tidy", every=timedelta(hours=1), payload=TestKinds.Count())],
    )

    async def tidied() -> bool:
        return not await installation.execute(
            "select from headrace.idempotency_keys union all select from headrace.audit_log"
        )

    async with installation.working(worker):
        await eventually(lambda: installation.is_in(job_id, "completed"))
        await eventually(tidied)


async def test_the_reader_looks(installation: Installation, roles: Roles) -> None:
    job_id = await installation.enqueue(TestKinds.Greet())
    async with await psycopg.AsyncConnection.connect(roles.dsn("reader"), autocommit=True) as connection:
        assert (await get_job_async(connection, job_id)).state == "available"
        assert isinstance((await explain_job_async(connection, job_id)).reason, reasons.KindNotKnown)
        assert set(await queue_stats_async(connection)) == {"greetings"}
        await connection.execute("select from headrace.workers, headrace.queues, headrace.periodic_jobs")


WRITES = [
    "insert into headrace.queues (name) values ('q')",
    "update headrace.jobs set attempt = 0",
    "delete from headrace.jobs",
]
FORBIDDEN: dict[migrate.DatabaseRole, list[str]] = {
    "reader": [
        *WRITES,
        "select nextval('headrace.jobs_id_seq')",
        "truncate headrace.jobs",
        "select headrace.clean_audit_log('0 s', 1)",
    ],
    "server": [
        "truncate headrace.jobs",
        "delete from headrace.idempotency_keys",
        "update headrace.idempotency_keys set payload_hash = ''",
        "update headrace.workers set dead_at = now()",
        "insert into headrace.workers (name, queues, kinds, versions) values ('w', '{}', '{}', '{}')",
        "update headrace.chores set next_at = now()",
        "delete from headrace.audit_log",
        "update headrace.audit_log set actor = 'another operator'",
        "select headrace.clean_audit_log('0 s', 1000)",
        "insert into headrace.migrations (version, name, checksum) values (2, 'x', 'x')",
    ],
    "worker": [
        "insert into headrace.queues (name) values ('q')",
        "update headrace.queues set paused_at = null, paused_by = null",
        "delete from headrace.periodic_jobs",
        "select from headrace.audit_log",
        "delete from headrace.audit_log",
        "insert into headrace.migrations (version, name, checksum) values (2, 'x', 'x')",
        "truncate headrace.jobs",
    ],
}
NOBODY = ["drop table headrace.jobs", "create table headrace.mine ()", "alter table headrace.jobs add mine int"]


def can(connection: psycopg.Connection[Any], statement: Any) -> bool:
    try:
        connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@pytest.mark.parametrize("purpose", migrate.ROLES)
def test_no_role_can_do_more_than_its_work(purpose: migrate.DatabaseRole, roles: Roles) -> None:
    with psycopg.connect(roles.dsn(purpose), autocommit=True) as connection:
        assert [statement for statement in (*FORBIDDEN[purpose], *NOBODY) if can(connection, statement)] == []


def test_a_role_name_that_would_need_quoting_is_refused(database: str) -> None:
    with pytest.raises(ValueError, match="role name 'x; drop role y': use lower-case letters"):
        migrate.up(database, grants={"reader": "x; drop role y"})
