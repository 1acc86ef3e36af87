"""Look-ups read the index that knows the wanted jobs, however many finished ones there are, and find exactly those."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from engine_kinds import TestKinds
from installation import Installation
from plans import plan_of

from headrace.queue import JobFilter, JobState, list_jobs_async
from headrace.queue.db.statements import statement
from headrace.queue.inspection import search
from headrace.queue.inspection.search import MAX_ID

pytestmark = pytest.mark.postgres_versions

FINISHED = 300_000
FILL = """
    insert into headrace.jobs (
      state, created_at, finished_at, ready_xid, timeout_ms, version, priority, max_retries, queue, kind, caller,
      payload, tags, worker_id, claim_no, set_aside
    )
    select (case when n %% 1000 = 7 then 'discarded' when n = 100 then 'quarantined' when n %% 10000 = 4 then 'running'
                 when n %% 10000 = 5 then 'available' else 'completed' end)::headrace.job_state,
           now() - interval '10 days' + n * interval '1 second',
           case when n %% 10000 not in (4, 5) then now() end,
           case when n %% 10000 = 5 then pg_current_xact_id() end,
           30000, 1, 2, 3, 'queue-' || n %% 7, case when n = 9 then 'rare' else 'kind-' || n %% 13 end, '', 'payload',
           case when n %% 50000 = 9 then array['rare', 'vip'] when n %% 3 = 0 then array['vip'] end,
           1, n / 500,
           (case when n %% 1000 = 7 then 'discarded' when n = 100 then 'quarantined' end)::headrace.job_state
    from generate_series(1, %s) as n
"""
# What is looked for, the index that is read for it, and how many there are.
LOOKS = [
    (JobFilter(), "jobs_pkey", FINISHED),
    (JobFilter(states=(JobState.COMPLETED,)), "jobs_pkey", FINISHED - 300 - 1 - 60),
    (JobFilter(states=(JobState.DISCARDED,)), "jobs_set_aside", 300),
    (JobFilter(states=(JobState.QUARANTINED,)), "jobs_set_aside", 1),
    (JobFilter(states=(JobState.AVAILABLE,)), "jobs_ready", 30),
    (JobFilter(states=(JobState.RUNNING,)), "jobs_claimed", 30),
    (JobFilter(kinds=("rare",)), "jobs_by_queue_and_kind", 1),
    (JobFilter(kinds=("no such kind",)), "jobs_by_queue_and_kind", 0),
    (JobFilter(queues=("queue-3",)), "jobs_by_queue_and_kind", 42_857),
    (JobFilter(queues=("queue-2",), kinds=("rare",)), "jobs_by_queue_and_kind", 1),
    (JobFilter(tags=("rare",)), "jobs_tagged", 6),
]


def reads(plan: dict[str, Any]) -> set[str]:
    """What a plan reads of the jobs table: indexes by name, anything else by its kind of scan."""
    found: set[str] = set()
    if plan.get("Relation Name") == "jobs" and "Scan" in plan["Node Type"] and plan.get("Actual Loops"):
        found.add(plan.get("Index Name") or plan["Node Type"])
    if plan["Node Type"] == "Bitmap Index Scan":
        found.add(plan["Index Name"])
    for part in plan.get("Plans", []):
        found |= reads(part)
    return found - {"Bitmap Heap Scan"}


async def test_each_look_reads_its_index_and_a_bounded_part_of_it(installation: Installation) -> None:
    async with await installation.connect() as connection:
        await connection.execute(FILL, (FINISHED,))
        await connection.execute(
            "insert into headrace.workers (name, queues, kinds, versions) values ('one', '{}', '{}', '{}')"
        )
        await connection.execute("vacuum analyze headrace.jobs, headrace.workers")
        for wanted, index, _ in LOOKS:
            limit = 50
            params = {**wanted.params(), "limit": limit, "before": MAX_ID, "from": 0, "scan": limit * search.FIRST_SCAN}
            query = f"explain (analyze, buffers, format json) {statement(wanted.way())}"
            [[answer]] = await (await connection.execute(query, params)).fetchall()
            top = plan_of(answer)
            buffers = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
            assert index in reads(top), (wanted, reads(top))
            assert "Seq Scan" not in reads(top), wanted
            assert index == "jobs_claimed" or buffers < 5_000, (wanted, buffers)
        for wanted, _, many in LOOKS:
            if many < 1_000:
                assert len(await pages(connection, wanted)) == many, wanted


async def pages(connection: psycopg.AsyncConnection[Any], wanted: JobFilter, limit: int = 50) -> list[int]:
    """The ids of all pages of a list."""
    seen: list[int] = []
    before: int | None = None
    while True:
        page = await list_jobs_async(connection, wanted, limit=limit, before_id=before)
        seen += [job.id for job in page]
        if page.before_id is None:
            return seen
        before = page.before_id


async def test_short_pages_say_where_to_go_on_until_everything_was_listed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SCAN", 20)
    ids = [await installation.enqueue(TestKinds.Greet(), queue=f"queue-{n % 3}") for n in range(60)]
    odd = ids[::13]
    await installation.execute(
        "update headrace.jobs set ready_xid = null, state = 'completed' where id = any(%s)", (odd,)
    )
    async with await installation.connect() as connection:
        assert await pages(connection, JobFilter(), limit=7) == ids[::-1]
        assert await pages(connection, JobFilter(states=(JobState.COMPLETED,)), limit=1) == odd[::-1]
        in_queue = JobFilter(states=(JobState.COMPLETED,), queues=("queue-0", "queue-1"))
        assert await pages(connection, in_queue, limit=1) == [i for i in odd[::-1] if ids.index(i) % 3 != 2]
        waiting = JobFilter(states=(JobState.AVAILABLE, JobState.DISCARDED), kinds=("headrace.test.v1.Greet",))
        assert await pages(connection, waiting, limit=7) == [i for i in ids[::-1] if i not in odd]


async def test_jobs_are_found_by_the_time_they_were_accepted_at(installation: Installation) -> None:
    async with await installation.connect() as connection:
        await connection.execute(FILL, (5_000,))
        [(at,)] = await (await connection.execute("select created_at from headrace.jobs where id = 3000")).fetchall()
        before = await list_jobs_async(connection, JobFilter(created_before=at), limit=3)
        within = await pages(connection, JobFilter(created_after=at, created_before=at + timedelta(seconds=5)))
        none = await list_jobs_async(connection, JobFilter(created_after=at + timedelta(days=3)), limit=3)
    assert [job.id for job in before] == [2999, 2998, 2997]
    assert within == [3004, 3003, 3002, 3001, 3000]
    assert (list(none), none.before_id) == ([], None)


@pytest.mark.parametrize(
    "wanted",
    [JobFilter(tags=("often",), kinds=("kind-1",)), JobFilter(states=(JobState.CANCELLED,), kinds=("kind-1",))],
    ids=["tag", "state"],
)
async def test_a_look_for_what_many_jobs_have_goes_through_a_bounded_number_of_them(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, wanted: JobFilter
) -> None:
    monkeypatch.setattr(search, "SCAN", 1_000)
    async with await installation.connect() as connection:
        await connection.execute(FILL, (60_000,))
        often = (
            "update headrace.jobs set tags = array['often'], state = 'cancelled', set_aside = 'cancelled',"
            " ready_xid = null where id % 20 = 0"
        )
        await connection.execute(often)
        await connection.execute("vacuum analyze headrace.jobs")
        before = await rows_read(connection)
        page = await list_jobs_async(connection, wanted)
        read = await rows_read(connection) - before
        listed = await pages(connection, wanted)
    assert listed == [n for n in range(60_000, 0, -1) if n % 20 == 0 and n % 13 == 1]
    assert [job.id for job in page] == listed[: len(page)]
    assert read < 2_500  # 3,000 are so


async def rows_read(connection: psycopg.AsyncConnection[Any]) -> int:
    """How many rows of the jobs table were read so far."""
    await connection.execute("select pg_stat_force_next_flush()")
    query = "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'jobs'"
    [(rows,)] = await (await connection.execute(query)).fetchall()
    return int(rows)


async def test_jobs_are_found_by_all_of_their_tags(installation: Installation) -> None:
    one = await installation.enqueue(TestKinds.Greet(), tags=["a", "b"])
    two = await installation.enqueue(TestKinds.Greet(), tags=["a"])
    await installation.enqueue(TestKinds.Greet())
    async with await installation.connect() as connection:
        assert await pages(connection, JobFilter(tags=("a",))) == [two, one]
        assert await pages(connection, JobFilter(tags=("b", "a"))) == [one]
        assert await pages(connection, JobFilter(tags=("c",))) == []
