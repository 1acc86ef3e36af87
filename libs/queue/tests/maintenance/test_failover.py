"""A database that has changed its role: the worker finds the way back by itself."""

from __future__ import annotations

from typing import Any

from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import RunningJob, pause_queue_async, resume_queue_async


async def do_nothing(message: Any, job: RunningJob) -> None:
    pass


async def test_a_server_that_turned_read_only_is_waited_for_like_one_that_is_away(
    installation: Installation, eventually: Eventually
) -> None:
    """As the old primary does in a failover."""
    [(name,)] = await installation.execute("select current_database()")
    job_id = await installation.enqueue(TestKinds.Greet())
    async with await installation.connect() as admin:

        async def everybody_reconnects(read_only: str) -> None:
            await admin.execute(f"alter database {name} set default_transaction_read_only = {read_only}")
            await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
                (name,),
            )

        async def heartbeat() -> bool:
            return bool(await installation.execute("select from headrace.workers where beat > 0"))

        async def claims_again() -> bool:
            query = "select from pg_stat_activity where datname = %s and application_name = 'headrace claims'"
            return bool(await installation.execute(query, (name,)))

        await pause_queue_async(admin, "greetings", by="ann")
        async with installation.working(installation.worker(installation.handlers(Greet=do_nothing))):
            await eventually(heartbeat)
            await everybody_reconnects("on")
            await eventually(claims_again)
            await everybody_reconnects("off")
            await resume_queue_async(admin, "greetings")
            await eventually(lambda: installation.is_in(job_id, "completed"))
