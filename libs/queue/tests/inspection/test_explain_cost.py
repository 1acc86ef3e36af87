"""What an explanation costs: as much as its own evidence, however many jobs wait, have ended, or were just claimed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from installation import Installation
from plans import plan_of, scans
from postgres_server import PostgresServer

from headrace.queue import explain_job_async, queue_stats_async
from headrace.queue.db.statements import statement
from headrace.queue.inspection import explain, reasons
from headrace.queue.inspection.explain import MOST_BEFORE

JOBS = 330_000
FILL = """
    insert into headrace.jobs (
      state, finished_at, ready_at, ready_xid, timeout_ms, version, priority, max_retries, queue, kind, caller, payload
    )
    select (case when n %% 10 = 9 then 'completed' else 'available' end)::headrace.job_state,
           case when n %% 10 = 9 then now() end, now() - interval '1 hour',
           case when n %% 10 <> 9 then pg_current_xact_id() end,
           30000, 1, 1 + n %% 4, 3, case when n %% 20 = 0 then 'numbers' else 'greetings' end,
           'headrace.test.v1.Greet', '', 'payload'
    from generate_series(1, %s) as n
"""
WORKER = """
    insert into headrace.workers (name, queues, kinds, versions, slots, rates, free)
    values ('one', '{greetings}', '{headrace.test.v1.Greet}', '{1}', 10, '{"greetings": 250}', '{"greetings": 0}')
"""
# A look at 10,000 rows and their index entries.
BUFFERS = 15_000


@pytest.fixture(scope="module")
def migrated(postgres: PostgresServer, migrated: str) -> Iterator[str]:
    """A migrated database with a backlog, filled once for all tests."""
    with postgres.database(migrated) as name:
        with psycopg.connect(postgres.dsn(name)) as connection:
            connection.execute(FILL, (JOBS,))
            connection.execute(WORKER)
        yield name


@pytest.fixture
async def backlog(installation: Installation) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection to a copy of it, of which nothing was analyzed yet."""
    async with await installation.connect() as connection:
        yield connection


async def cost(connection: psycopg.AsyncConnection[Any], job_id: int) -> tuple[set[str], int]:
    """How the jobs table is read for an explanation, and how many pages are."""
    params = {"job_id": job_id, "most": MOST_BEFORE, "present_within": timedelta(seconds=10)}
    query = f"explain (analyze, buffers, format json) {statement('explain_job')}"
    [[answer]] = await (await connection.execute(query, params)).fetchall()
    top = plan_of(answer)
    return {index or scan for scan, index in scans(top)}, top["Shared Hit Blocks"] + top["Shared Read Blocks"]


async def test_an_explanation_counts_the_jobs_before_it_backwards_up_to_a_bound(
    backlog: psycopg.AsyncConnection[Any],
) -> None:
    query = "select id from headrace.jobs where ready_xid is not null and queue = 'greetings' order by priority, id"
    line = [job_id for (job_id,) in await (await backlog.execute(query)).fetchall()]
    for preparation in ("set jit = off", "vacuum analyze headrace.jobs"):  # before there are statistics, and after
        await backlog.execute(preparation)
        for place in (0, 5_000, len(line) // 2, len(line) - 1):
            read, buffers = await cost(backlog, line[place])
            assert read <= {"jobs_pkey", "jobs_ready"}, place
            assert buffers < BUFFERS, place
    first, last = await explain_job_async(backlog, line[0]), await explain_job_async(backlog, line[-1])
    assert first.reason == reasons.Behind(0, False, 250.0, timedelta(seconds=1 / 250), 0, 1, 0)
    assert isinstance(last.reason, reasons.Behind)
    assert (last.reason.jobs_before, last.reason.more) == (MOST_BEFORE + 1, True)
    exact = await explain_job_async(backlog, line[5_000])
    assert isinstance(exact.reason, reasons.Behind)
    assert (exact.reason.jobs_before, exact.reason.more) == (5_000, False)
    assert exact.reason.eta == timedelta(seconds=5_001 / 250)
    [(done,)] = await (await backlog.execute("select max(id) from headrace.jobs where state = 'completed'")).fetchall()
    _, buffers = await cost(backlog, done)
    assert buffers < 50, "the explanation of a job that is not available reads no other jobs"


async def test_claims_make_an_explanation_no_dearer_while_vacuum_is_held_back(
    installation: Installation, backlog: psycopg.AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await installation.connect(autocommit=False) as holder:
        await holder.execute("set transaction isolation level repeatable read")
        await holder.execute("select from headrace.jobs limit 1")
        await backlog.execute("""
            update headrace.jobs set state = 'running', ready_xid = null, lease = 1
            where ready_xid is not null and queue = 'greetings' and priority = 1
        """)
        query = "select max(id) from headrace.jobs where ready_xid is not null and queue = 'greetings' and priority = 4"
        [(last,)] = await (await backlog.execute(query)).fetchall()
        read, buffers = await cost(backlog, last)
    assert read <= {"jobs_pkey", "jobs_ready"}
    assert buffers < BUFFERS
    monkeypatch.setattr(explain, "TIME_LIMIT", timedelta(milliseconds=1))
    async with backlog.transaction():
        await backlog.execute("set local statement_timeout = 7000")
        explanation = await explain_job_async(backlog, last)
        assert await (await backlog.execute("show statement_timeout")).fetchone() == ("7s",)
    reason: Any = explanation.reason
    assert (reason.jobs_before, reason.more, reason.eta) == (0, True, None), "counting was given up in time"
    assert explanation.summary == (
        "It is not known how many jobs are ahead of it. The one worker that could run it is busy in all slots."
    )


async def test_queue_stats_read_the_head_of_each_queue(backlog: psycopg.AsyncConnection[Any]) -> None:
    query = f"explain (analyze, buffers, format json) {statement('queue_stats')}"
    params = {"queues": None, "present_within": timedelta(seconds=10)}
    for preparation in ("set jit = off", "vacuum analyze headrace.jobs"):
        await backlog.execute(preparation)
        [[answer]] = await (await backlog.execute(query, params)).fetchall()
        top = plan_of(answer)
        assert {index or scan for scan, index in scans(top)} == {"jobs_ready"}
        assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 200
    flows = await queue_stats_async(backlog)
    assert set(flows) == {"greetings", "numbers"}
    assert (flows["greetings"].jobs_per_second, flows["greetings"].workers) == (250.0, 1)
    assert (flows["numbers"].jobs_per_second, flows["numbers"].workers) == (0.0, 0)
