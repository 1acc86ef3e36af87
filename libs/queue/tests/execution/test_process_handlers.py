"""Handlers in separate processes: nothing that one does reaches the worker, and nothing outlives its job."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import process_handlers
import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation
from process_handlers import MIB

from headrace.queue import Handlers, Job, RetryPolicy, RunningJob, TraceParent, Worker
from headrace.queue import WorkerSettings as Settings
from headrace.queue.control.jobs import cancel_job_async
from headrace.queue.execution.processes import process

pytestmark = pytest.mark.direct(reason="what a worker does with its processes never reaches the database")

PROGRAM = Path(__file__).parents[1] / "support" / "process_program.py"
OVER = ("completed", "discarded", "retryable", "scheduled", "cancelled")


def handlers_of(installation: Installation, **options: Any) -> Handlers:
    """A handler that does what its job says, in a process."""
    handlers = Handlers(installation.kinds)
    handlers.add(TestKinds.Greet, process_handlers.handle, mode="process", **options)
    return handlers


class Site:
    """A worker at work with one process, unless it needs more, and retries that are far away."""

    def __init__(self, installation: Installation, eventually: Eventually) -> None:
        self._installation = installation
        self._eventually = eventually

    async def start(self, name: str, **options: Any) -> int:
        return int(await self._installation.enqueue(TestKinds.Greet(name=name), **options))

    async def over(self, job_id: int) -> Job:
        async def is_over() -> bool:
            return (await self._installation.job(job_id)).state in OVER

        await self._eventually(is_over, within=30.0)
        job: Job = await self._installation.job(job_id)
        return job

    async def run(self, name: str, **options: Any) -> Job:
        return await self.over(await self.start(name, **options))

    def worker(self, **options: Any) -> Any:
        policy = RetryPolicy(base=timedelta(hours=1))
        handlers = handlers_of(self._installation, **options)
        return self._installation.working(
            Worker(self._installation.dsn, handlers, settings=Settings(slots=3), retry=policy)
        )


@pytest.fixture
def site(installation: Installation, eventually: Eventually) -> Site:
    return Site(installation, eventually)


def is_there(pid: int) -> bool:
    """Whether the process runs. One that is dead and not yet waited for does not."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def written(path: Path, eventually: Eventually) -> list[int]:
    """The process ids that a handler has written down."""

    read = partial(asyncio.to_thread, path.read_text)

    async def is_written() -> bool:
        with suppress(FileNotFoundError):
            return (await read()).endswith("\n")
        return False

    await eventually(is_written)
    return [int(pid) for pid in (await read()).split()]


async def gone(pids: list[int], eventually: Eventually) -> None:
    async def are_gone() -> bool:
        return not any(is_there(pid) for pid in pids)

    await eventually(are_gone)


async def test_a_job_runs_in_a_process_that_is_kept_for_the_next(site: Site) -> None:
    async with site.worker():
        first, second = [(await site.run("who")).output for _ in range(2)]
    assert first["parent"] == os.getpid() != first["pid"]
    assert (second["pid"], first["jobs"], second["jobs"]) == (first["pid"], 1, 2)
    assert not is_there(first["pid"])


async def test_jobs_at_once_have_a_process_each(site: Site, tmp_path: Path, eventually: Eventually) -> None:
    async with site.worker():
        held = [await site.start(f"sleep|{tmp_path / str(n)}", timeout=timedelta(seconds=2)) for n in range(3)]
        pids = [pid for n in range(3) for pid in await written(tmp_path / str(n), eventually)]
        assert len(set(pids)) == 3
        for job_id in held:
            assert (await site.over(job_id)).errors[0].type == "timeout"
    await gone(pids, eventually)


OUTCOMES = [
    ("nothing", "completed", None, []),
    ("done", "completed", [1, None, {"a": "b"}], []),
    ("retry", "retryable", None, [("Retry", "again")]),
    ("snooze", "scheduled", None, []),
    ("cancel", "cancelled", None, [("Cancel", "not wanted")]),
    ("discard", "discarded", None, [("Discard", "hopeless")]),
    (
        "a word",
        "retryable",
        None,
        [("TypeError", "handler returned str; return None, or one of Done, Retry, Snooze, Cancel, Discard")],
    ),
]


async def test_every_outcome_comes_through(site: Site) -> None:
    async with site.worker():
        for name, state, output, errors in OUTCOMES:
            job = await site.run(f"outcome|{name}")
            said = [(error.type, error.message) for error in job.errors]
            assert (job.state, job.output, said) == (state, output, errors), name
        assert (await site.run("outcome|no json")).errors[0].type == "TypeError"


async def test_an_exception_is_a_failed_attempt_with_its_traceback(site: Site) -> None:
    async with site.worker():
        failed = await site.run("raise")
        pid = (await site.run("who")).output["jobs"]
    [error] = failed.errors
    assert (failed.state, error.type, error.message) == ("retryable", "LookupError", "no such guest")
    assert 'process_handlers.py", line' in error.traceback
    assert "in _raise" in error.traceback
    assert pid == 2, "the process is as good as before"


async def test_a_timeout_kills_the_process_and_what_it_has_started(
    site: Site, tmp_path: Path, eventually: Eventually
) -> None:
    async with site.worker():
        warm = await site.run("who")
        job = await site.run(f"spin|{tmp_path / 'pids'}", timeout=timedelta(seconds=1))
        pids = await written(tmp_path / "pids", eventually)
        assert not is_there(pids[0]), "its slot is free when it is gone"
        after = await site.run("who")
    assert (job.state, job.errors[0].type) == ("retryable", "timeout")
    await gone(pids, eventually)
    assert pids[0] == warm.output["pid"] != after.output["pid"]


async def test_the_time_to_start_a_process_is_not_the_jobs_own(site: Site) -> None:
    """The interpreter and its imports take longer than that."""
    async with site.worker():
        job = await site.run("who", timeout=timedelta(milliseconds=100))
    assert (job.state, job.output["jobs"]) == ("completed", 1)


async def test_a_cancelled_job_is_killed(
    site: Site, installation: Installation, tmp_path: Path, eventually: Eventually
) -> None:
    async with site.worker():
        job_id = await site.start(f"spin|{tmp_path / 'pids'}")
        pids = await written(tmp_path / "pids", eventually)
        async with await installation.connect() as connection:
            await cancel_job_async(connection, job_id)
        assert (await site.over(job_id)).state == "cancelled"
    await gone(pids, eventually)


async def test_a_drain_kills_what_does_not_end_and_hands_it_back(
    installation: Installation, tmp_path: Path, eventually: Eventually
) -> None:
    worker = installation.worker(handlers_of(installation), drain_timeout=timedelta(0))
    job_id = await installation.enqueue(TestKinds.Greet(name=f"spin|{tmp_path / 'pids'}"))
    async with installation.working(worker):
        pids = await written(tmp_path / "pids", eventually)
    job = await installation.job(job_id)
    assert (job.state, job.attempt, job.lease) == ("available", 0, 1)
    await gone(pids, eventually)


CRASHES = {
    "crash": ("process_died", "was killed by SIGSEGV"),
    "exit": ("process_died", "exited with code 3"),
}


@pytest.mark.parametrize("name", CRASHES)
async def test_a_crash_is_a_failed_attempt_with_its_reason(name: str, site: Site, caplog: Any) -> None:
    async with site.worker():
        job = await site.run(name)
        after = await site.run("who")
    [error] = job.errors
    assert (job.state, job.attempt, error.type) == ("retryable", 1, CRASHES[name][0])
    assert CRASHES[name][1] in error.message
    assert (after.state, after.output["jobs"]) == ("completed", 1)


async def test_a_process_that_died_in_its_sleep_costs_no_attempt(site: Site, eventually: Eventually) -> None:
    async with site.worker():
        pid = (await site.run("who")).output["pid"]
        os.kill(pid, signal.SIGKILL)
        job = await site.run("who")
    assert (job.state, job.attempt, job.errors) == ("completed", 1, [])
    assert job.output["pid"] != pid


LIMIT = 128 * MIB


@pytest.mark.parametrize("name", ["eat", "eat shared"])
async def test_the_memory_limit_holds_and_is_reported_as_such(name: str, site: Site) -> None:
    async with site.worker(memory_limit=LIMIT):
        job = await site.run(name)
        after = await site.run("who")
    [error] = job.errors
    assert (job.state, error.type) == ("retryable", "memory_limit")
    assert "memory limit of 128 MiB" in error.message
    assert (after.state, after.output["jobs"]) == ("completed", 1)


async def test_a_process_that_keeps_much_of_its_memory_is_replaced(site: Site) -> None:
    async with site.worker(memory_limit=LIMIT):
        pids = {(await site.run("grow")).output for _ in range(3)}
    assert len(pids) == 3


async def test_a_process_is_replaced_after_its_most_jobs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_JOBS", 2)
    async with site.worker():
        assert [(await site.run("who")).output["jobs"] for _ in range(5)] == [1, 2, 1, 2, 1]


async def test_a_handler_sees_its_job_as_elsewhere(site: Site, installation: Installation) -> None:
    async with site.worker():
        job = await site.run("context", caller="api", max_retries=4, timeout=timedelta(seconds=20))
    assert job.output["job"] == [job.id, 1, 1, 4, "greetings", "headrace.test.v1.Greet", "api"]
    assert 10 < job.output["remaining"] <= 20


async def test_the_trace_goes_on_in_the_process(site: Site, installation: Installation) -> None:
    cause = TraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "", "tenant=7")
    async with site.worker():
        job = await site.run("context", trace=cause)
    assert job.output["traceparent"] == cause.traceparent
    assert job.output["span"].startswith("0af7651916cd43dd8448eb211c80319c-")
    assert job.output["tenant"] == "7"


async def test_progress_comes_from_the_process(site: Site) -> None:
    async with site.worker():
        job_id = await site.start("progress")
        await site.over(job_id)
    job = await site.over(job_id)
    assert job.progress == {"done": 2}


async def test_it_completes_its_job_in_its_own_transaction(site: Site, installation: Installation) -> None:
    await installation.execute("create table effects (job_id bigint)")
    async with site.worker():
        kept = await site.run(f"complete|{short(installation.dsn)}|commit")
        undone = await site.run(f"complete|{short(installation.dsn)}|roll back")
    assert (kept.state, kept.output, kept.errors) == ("completed", "from the process", [])
    assert (undone.state, undone.errors[0].type) == ("retryable", "rolled_back")
    assert await installation.execute("select job_id from effects") == [(kept.id,)]


def short(dsn: str) -> str:
    assert len(dsn) < 80
    return dsn


async def test_an_async_def_can_run_in_a_process_too(installation: Installation, eventually: Eventually) -> None:
    handlers = Handlers(installation.kinds)
    handlers.add(TestKinds.Greet, process_handlers.handle_async, mode="process")
    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(handlers)):
        await eventually(lambda: installation.is_in(job_id, "completed"))
    assert (await installation.job(job_id)).output["pid"] != os.getpid()


async def test_middleware_goes_around_in_the_process_and_on_the_loop(
    installation: Installation, site: Site, eventually: Eventually
) -> None:
    here: list[int] = []

    async def on_the_loop(message: Any, job: RunningJob, call_next: Any) -> Any:
        here.append(os.getpid())
        return await call_next(TestKinds.Greet(name="who"), job)

    handlers = handlers_of(installation)
    handlers.use(on_the_loop)
    handlers.use(process_handlers.middleware)
    job_id = await installation.enqueue(TestKinds.Greet(name="replaced on the way"))
    async with installation.working(installation.worker(handlers)):
        await eventually(lambda: installation.is_in(job_id, "completed"))
    output = (await installation.job(job_id)).output
    assert here == [os.getpid()]
    assert output["pid"] == output["around"]["pid"] != os.getpid()


async def test_processes_die_with_a_killed_worker(
    installation: Installation, tmp_path: Path, eventually: Eventually
) -> None:
    await installation.enqueue(TestKinds.Greet(name=f"spin|{tmp_path / 'busy'}"))
    worker = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), installation.dsn)
    try:
        [busy, _] = await written(tmp_path / "busy", eventually)
        job_id = await installation.enqueue(TestKinds.Greet(name="who"))
        await eventually(lambda: installation.is_in(job_id, "completed"))
        idle = (await installation.job(job_id)).output["pid"]
        assert is_there(busy)
        assert is_there(idle)
    finally:
        worker.kill()
        await worker.wait()
    await gone([busy, idle], eventually)


def test_a_function_that_a_process_cant_import_is_refused(installation: Installation) -> None:
    handlers = Handlers(installation.kinds)
    with pytest.raises(ValueError, match=r"can't import .*<lambda> .*: move it to the top level of a module"):
        handlers.add(TestKinds.Greet, lambda *_: None, mode="process")


@pytest.mark.parametrize(
    ("function", "options", "complaint"),
    [
        (process_handlers.handle, {"memory_limit": LIMIT}, "only handlers of mode 'process' on Linux"),
        (process_handlers.handle, {"mode": "process", "memory_limit": MIB}, "must be at least 67108864 bytes"),
        (process_handlers.handle, {"mode": "async"}, "can't run in mode 'async'"),
        (process_handlers.handle_async, {"mode": "thread"}, "can't run in mode 'thread'"),
    ],
)
def test_a_mode_that_makes_no_sense_is_refused(
    function: Any, options: Any, complaint: str, installation: Installation
) -> None:
    with pytest.raises(ValueError, match=complaint):
        Handlers(installation.kinds).add(TestKinds.Greet, function, **options)
