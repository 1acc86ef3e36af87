"""Behind a pooler in transaction mode nothing is kept in a session, and the hot statements have the same plans."""

from __future__ import annotations

from typing import Any

from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation
from pgbouncer import PgBouncer
from plans import plan_of, scans

from headrace.queue import NewJob
from headrace.queue.claiming.cursor import Cursor
from headrace.queue.db.connections import SETTINGS, ReconnectingConnection
from headrace.queue.db.statements import statement


async def test_the_settings_apply_to_each_statement_and_are_not_left_in_the_session(
    database: str, pooler: PgBouncer
) -> None:
    link = ReconnectingConnection(pooler.dsn(database), purpose="test", schema="headrace", pooled=True)
    shown = ", ".join(f"current_setting('{name}') as {name}" for name in SETTINGS)
    asked = f"select {shown}, %(given)s::bigint[] as given"
    for given in ([1, None], [2, 3]):
        [row] = await link.execute(asked, {"given": given})
        assert row.pop("given") == given
        assert {**row, "statement_timeout": "10000"} == {**SETTINGS, "statement_timeout": "10000"}
        assert row["statement_timeout"] == "10s"
    async with link.use() as connection:
        async with connection.transaction():
            await connection.execute("create table thing ()")
        cursor = await connection.cursor().execute("select 1 as one")
        assert await cursor.fetchone() == {"one": 1}
    await link.close()


async def test_no_setting_and_no_prepared_statement_stays_behind(
    installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: Any) -> None:
        """Completes its job."""

    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        for _ in range(3):
            job_id = await installation.enqueue(TestKinds.Greet())
            await eventually(lambda job_id=job_id: installation.is_in(job_id, "completed"))
    if installation.pooled:
        for _ in range(30):  # round robin: every session of the pool is asked
            found = await installation.execute(
                "select current_setting('enable_seqscan'), current_setting('statement_timeout'), count(name)"
                " from (select) as one left join pg_prepared_statements on true group by 1, 2"
            )
            assert found == [("on", "0", 0)]


async def test_the_hot_statements_have_the_same_plans_through_a_pooler(installation: Installation) -> None:
    async with await installation.connect() as connection:
        await installation.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet()) for _ in range(1000)])
    claim = {
        **Cursor().params(),
        "worker_id": 1,
        "claim_no": 1,
        "queue": "greetings",
        "kinds": ["headrace.test.v1.Greet"],
        "versions": [1],
        "limit": 10,
    }
    expected = {
        "claim": (claim, ["jobs_ready", "jobs_ready", "jobs_pkey"]),
        "complete": ({"ids": [1, 2], "leases": [1, 1]}, ["jobs_pkey"]),
        "rescue": ({"max_deaths": 3}, ["jobs_claimed", "jobs_pkey"]),
        "promote": ({"limit": 10}, ["jobs_due", "jobs_pkey"]),
    }
    link = ReconnectingConnection(installation.dsn, purpose="test", schema="headrace", pooled=installation.pooled)
    for name, (params, indexes) in expected.items():
        [row] = await link.execute(f"explain (format json) {statement(name)}", params)
        found = scans(plan_of(row["QUERY PLAN"]))
        assert [index for _, index in found] == indexes, name
        assert {scan for scan, _ in found} == {"Index Scan"}, name
    await link.close()
