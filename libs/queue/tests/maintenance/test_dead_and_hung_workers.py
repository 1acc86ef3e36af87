"""Dead, hung and slow are three things; and an absent database is a fourth."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.embedded_postgres import EmbeddedPostgres
from headrace.queue import Job, JobState
from headrace.queue.db import migrate

PROGRAM = Path(__file__).parents[1] / "support" / "worker_program.py"
# A killed worker's jobs run again within 10 s; this machine may be slow on top.
RESCUED_WITHIN = 20.0


class Site:
    """An installation with worker processes and the table in which their handlers note each attempt."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.processes: list[asyncio.subprocess.Process] = []

    async def prepare(self) -> None:
        await self.sql("create table attempts (n serial, job_id bigint, attempt int, lease int, pid int)")
        await self.sql("create table gate (open boolean)")

    async def worker(self) -> asyncio.subprocess.Process:
        """Starts a worker process."""
        process = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), self._installation.dsn)
        self.processes.append(process)
        return process

    async def enqueue(self, name: str, **options: Any) -> int:
        return int(await self._installation.enqueue(TestKinds.Greet(name=name), **options))

    async def job(self, job_id: int) -> Job:
        job: Job = await self._installation.job(job_id)
        return job

    async def is_in(self, job_id: int, state: JobState) -> bool:
        return (await self.job(job_id)).state is state

    async def sql(self, query: str) -> list[Any]:
        rows: list[Any] = await self._installation.execute(query)
        return rows

    async def attempts(self, job_id: int) -> list[tuple[int, int, int]]:
        """Attempt, lease and process of each start of the job's handler, in order."""
        return await self.sql(f"select attempt, lease, pid from attempts where job_id = {job_id} order by n")

    async def open_gate(self) -> None:
        await self.sql("insert into gate values (true)")

    async def close(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def opened(installation: Installation) -> AsyncIterator[Site]:
    site = Site(installation)
    await site.prepare()
    try:
        yield site
    finally:
        await site.close()


@pytest.fixture
async def site(installation: Installation) -> AsyncIterator[Site]:
    async with opened(installation) as site:
        yield site


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    """A Postgres server that the test may stop."""
    with EmbeddedPostgres() as server:
        migrate.up(server.dsn())
        yield server


async def test_a_killed_workers_job_runs_again_with_its_attempt_unspent(site: Site, eventually: Eventually) -> None:
    first = await site.worker()
    job_id = await site.enqueue("hold")
    await eventually(lambda: site.attempts(job_id))
    second = await site.worker()
    first.kill()
    killed_at = time.monotonic()

    async def runs_again() -> bool:
        return len(await site.attempts(job_id)) == 2

    await eventually(runs_again, within=RESCUED_WITHIN)
    assert time.monotonic() - killed_at > 4.0, "no worker is declared dead before the lease time is over"
    await site.open_gate()
    await eventually(lambda: site.is_in(job_id, JobState.COMPLETED))
    assert await site.attempts(job_id) == [(1, 1, first.pid), (1, 2, second.pid)]
    [error] = (await site.job(job_id)).errors
    assert (error.type, error.attempt, error.lease) == ("worker_lost", 1, 1)


async def test_a_late_outcome_of_a_stopped_worker_counts_for_nothing(site: Site, eventually: Eventually) -> None:
    first = await site.worker()
    job_id = await site.enqueue("hold")
    await eventually(lambda: site.attempts(job_id))
    second = await site.worker()
    first.send_signal(signal.SIGSTOP)

    async def runs_again() -> bool:
        return len(await site.attempts(job_id)) == 2

    await eventually(runs_again, within=RESCUED_WITHIN)
    first.send_signal(signal.SIGCONT)
    # The stopped worker has come back when it is registered again. Its attempt had the same number.
    await eventually(lambda: site.sql(f"select from headrace.workers where name = 'process:{first.pid}' offset 1"))
    assert await site.is_in(job_id, JobState.RUNNING)
    await site.open_gate()
    await eventually(lambda: site.is_in(job_id, JobState.COMPLETED))
    job = await site.job(job_id)
    assert (job.worker, job.attempt, job.lease) == (f"process:{second.pid}", 1, 2)


async def test_a_worker_that_came_back_works_on(site: Site, eventually: Eventually) -> None:
    only = await site.worker()
    held = await site.enqueue("hold")
    await eventually(lambda: site.attempts(held))
    await site.sql("update headrace.workers set dead_at = now()")
    await eventually(lambda: site.sql("select from headrace.workers offset 1"))
    assert await site.enqueue("hello")
    await site.open_gate()
    await eventually(lambda: site.is_in(held, JobState.COMPLETED), within=30.0)
    assert {pid for _, _, pid in await site.attempts(held)} == {only.pid}


async def test_a_job_in_flight_at_three_worker_deaths_is_quarantined_unspent(
    site: Site, eventually: Eventually
) -> None:
    job_id = await site.enqueue("hold")
    watcher = await site.worker()  # may run it, too: whoever has it, dies
    for death in (1, 2, 3):
        await eventually(lambda: site.is_in(job_id, JobState.RUNNING))
        await site.sql(f"""
            update headrace.workers set dead_at = now()
            from headrace.jobs where workers.id = worker_id and jobs.id = {job_id}
        """)

        async def died(deaths: int = death) -> bool:
            return await site.sql(f"select deaths from headrace.jobs where id = {job_id}") == [(deaths,)]

        await eventually(died, within=30.0)
    job = await site.job(job_id)
    assert (job.state, job.attempt) == (JobState.QUARANTINED, 0)
    assert [error.type for error in job.errors] == ["worker_lost"] * 3
    assert "death 3 of 3" in job.errors[-1].message
    assert watcher.returncode is None


async def test_a_blocked_event_loop_is_hung_not_dead(site: Site, eventually: Eventually) -> None:
    await site.worker()
    await site.worker()  # would rescue it
    job_id = await site.enqueue("block 12")

    async def hung() -> bool:
        return (await site.job(job_id)).hung_since is not None

    await eventually(hung, within=30.0)
    await eventually(lambda: site.is_in(job_id, JobState.COMPLETED), within=30.0)
    assert len(await site.attempts(job_id)) == 1
    assert (await site.job(job_id)).errors == []


@pytest.mark.parametrize("fault", ["crash", "freeze"])
async def test_an_absent_database_costs_no_healthy_job_a_second_run(
    own_server: EmbeddedPostgres, fault: str, eventually: Eventually, request: pytest.FixtureRequest
) -> None:
    installation_class = type(request.getfixturevalue("installation"))
    async with opened(installation_class(own_server.dsn())) as site:
        await site.worker()
        await site.worker()
        jobs = [await site.enqueue("hold") for _ in range(4)]
        for job_id in jobs:
            await eventually(lambda job_id=job_id: site.attempts(job_id))
        if fault == "crash":
            own_server.stop("immediate")
            await asyncio.to_thread(time.sleep, 12)  # longer than the lease: the fault itself, not a wait for something
            own_server.start()
        else:
            own_server.freeze()
            await asyncio.to_thread(time.sleep, 12)
            own_server.thaw()
        after = await site.enqueue("hello")
        await eventually(lambda: site.is_in(after, JobState.COMPLETED), within=30.0)
        await asyncio.to_thread(time.sleep, 8)  # a wrong rescue would come one lease time after the return
        await site.open_gate()
        for job_id in jobs:
            await eventually(lambda job_id=job_id: site.is_in(job_id, JobState.COMPLETED), within=30.0)
            assert len(await site.attempts(job_id)) == 1


async def test_cut_connections_lose_no_job_and_run_none_twice(site: Site, eventually: Eventually) -> None:
    await site.worker()
    await site.worker()
    jobs = []

    async def cut() -> None:
        await site.sql("""
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and application_name like 'headrace %'
        """)

    for round_ in range(10):
        jobs += [await site.enqueue(f"hello {round_}") for _ in range(20)]
        await cut()

    async def all_done() -> bool:
        return await site.sql("select from headrace.jobs where state <> 'completed' limit 1") == []

    await eventually(all_done, within=60.0)
    # A claim whose answer was cut off was never begun here, and an attempt that was begun is never released.
    assert await site.sql("select count(distinct job_id) from attempts") == [(len(jobs),)]
    assert await site.sql("select job_id from attempts group by job_id having count(*) > 1") == []
