"""`headrace explain`: what an operator reads, and what a program reads."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation
from typer.testing import CliRunner, Result

from headrace.cli.program import build
from headrace.queue import RunningJob, pause_queue_async


async def headrace(installation: Installation, *words: str) -> Result:
    """Runs the command beside the test's own event loop: it brings one."""
    env = {"JOBS_DATABASE_URL": installation.dsn}
    return await asyncio.to_thread(CliRunner().invoke, build(), list(words), env=env)


async def test_it_says_why_in_words_with_the_evidence(installation: Installation) -> None:
    job_id = await installation.enqueue(TestKinds.Greet())
    async with await installation.connect() as connection:
        queue = await pause_queue_async(connection, "greetings", by="ann")
    result = await headrace(installation, "explain", str(job_id))
    at = f"{queue.paused_at:%Y-%m-%d %H:%M:%S} UTC"
    assert result.exit_code == 0
    first, second, *evidence = result.output.splitlines()
    assert first == f"job {job_id}, headrace.test.v1.Greet, in queue greetings: available"
    assert second.startswith("The queue greetings was paused by ann ")
    assert evidence == ["  what: queue", "  name: greetings", f"  paused at: {at}", "  paused by: ann", "  others: 0"]


async def test_it_answers_in_json(installation: Installation) -> None:
    run_at = datetime.now(UTC) + timedelta(hours=1)
    job_id = await installation.enqueue(TestKinds.Greet(), run_at=run_at)
    answer = json.loads((await headrace(installation, "explain", str(job_id), "--json")).output)
    assert (answer["job_id"], answer["state"], answer["reason"]) == (str(job_id), "scheduled", "scheduled")
    assert datetime.fromisoformat(answer["evidence"]["run_at"]) == run_at


async def test_it_names_a_failure_and_does_not_quote_it(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        raise ValueError(f"no such name: {message.name}")

    job_id = await installation.enqueue(TestKinds.Greet(name="Ada"), max_retries=0)
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "discarded"))
    for option in ((), ("--json",)):
        output = (await headrace(installation, "explain", str(job_id), *option)).output
        assert "ValueError" in output
        assert "Ada" not in output


async def test_a_job_that_is_not_there_is_one_line_and_exit_code_1(installation: Installation) -> None:
    result = await headrace(installation, "explain", "17")
    assert (result.exit_code, result.output) == (1, "headrace: there is no job 17\n")
