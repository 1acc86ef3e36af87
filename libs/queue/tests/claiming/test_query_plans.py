"""The hot statements read the index that they are made for, and completion writes none."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from engine_kinds import TestKinds
from installation import Installation
from plans import plan_of, scans

from headrace.queue import NewJob
from headrace.queue.claiming.cursor import Cursor
from headrace.queue.db.statements import statement

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.direct(reason="planner settings last for a session; test_behind_pgbouncer has pooled plans"),
]

PLANNER = (
    "set jit = off; set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off"
)
JOBS = 2_000


async def filled(installation: Installation) -> Any:
    """A connection as a worker's, to a database with jobs in line and finished ones."""
    connection = await installation.connect()
    await installation.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet()) for _ in range(1000)])
    await connection.execute(
        """
        insert into headrace.jobs (
          state, finished_at, timeout_ms, version, priority, max_retries, queue, kind, caller, payload
        )
        select 'completed', now(), 1000, 1, 2, 3, 'greetings', 'headrace.test.v1.Greet', '', ''
        from generate_series(1, %s)
    """,
        (JOBS,),
    )
    await connection.execute("vacuum analyze headrace.jobs")
    await connection.execute(PLANNER)
    return connection


async def explained(
    connection: psycopg.AsyncConnection[Any], name: str, params: dict[str, Any]
) -> list[tuple[str, str]]:
    cursor = await connection.execute(f"explain (format json) {statement(name)}", params)
    [[answer]] = await cursor.fetchall()
    return scans(plan_of(answer))


async def test_a_claim_reads_available_jobs_and_the_rows_that_it_takes(installation: Installation) -> None:
    async with await filled(installation) as connection:
        params = {
            **Cursor().params(),
            "worker_id": 1,
            "claim_no": 1,
            "queue": "greetings",
            "kinds": ["headrace.test.v1.Greet"],
            "versions": [1],
            "limit": 10,
        }
        found = await explained(connection, "claim", params)
    assert found == [("Index Scan", "jobs_ready"), ("Index Scan", "jobs_ready"), ("Index Scan", "jobs_pkey")]


async def test_the_rescue_reads_each_dead_workers_claims_only(installation: Installation) -> None:
    async with await filled(installation) as connection:
        found = await explained(connection, "rescue", {"max_deaths": 3})
    assert found == [("Index Scan", "jobs_claimed"), ("Index Scan", "jobs_pkey")]


async def test_due_jobs_are_read_from_their_own_index(installation: Installation) -> None:
    async with await filled(installation) as connection:
        promote = await explained(connection, "promote", {"limit": 10})
        next_due = await explained(connection, "next_due", {"names": [], "kinds": [], "excluded": []})
    assert promote == [("Index Scan", "jobs_due"), ("Index Scan", "jobs_pkey")]
    assert [index for _, index in next_due] == ["jobs_due"]


async def test_completion_writes_no_index(installation: Installation) -> None:
    async with await filled(installation) as connection:
        ids = list(range(1, 501))
        await connection.execute(
            "update headrace.jobs set state = 'running', ready_xid = null, lease = 1 where id = any(%s)", (ids,)
        )
        await connection.execute("vacuum headrace.jobs")

        async def updates() -> tuple[int, int]:
            cursor = await connection.execute("""
                select pg_stat_force_next_flush(), n_tup_upd, n_tup_hot_upd
                from pg_stat_user_tables where relname = 'jobs'
            """)
            _, all_, hot = await cursor.fetchone()
            return all_, hot

        await updates()
        all_before, hot_before = await updates()
        await connection.execute(statement("complete"), {"ids": ids, "leases": [1] * len(ids)})
        await updates()
        all_after, hot_after = await updates()
    assert all_after - all_before == 500
    assert hot_after - hot_before == 500
