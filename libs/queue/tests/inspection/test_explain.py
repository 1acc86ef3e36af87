"""Why is this job not running? Each answer in a situation made for real, with real workers."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import (
    Enqueuer,
    Explanation,
    JobNotFoundError,
    JobState,
    KeyReusedError,
    NewJob,
    OptionInvalidError,
    Retry,
    RunningJob,
    Unique,
    cancel_job_async,
    explain_enqueue_async,
    explain_job_async,
    limit_queue_async,
    pause_all_async,
    pause_kind_async,
    pause_queue_async,
)
from headrace.queue.inspection import explain, reasons
from headrace.queue.inspection.reason_text import reason_text
from headrace.queue.kinds.declaration import job_kind
from headrace.queue.kinds.kind import Kinds

PROGRAM = Path(__file__).parents[1] / "support" / "worker_program.py"
GREET = "headrace.test.v1.Greet"


class Situation:
    """An installation whose jobs can be asked about, with handlers that a test holds back."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.gate = asyncio.Event()

    async def greet(self, message: Any, job: RunningJob) -> Retry | None:  # noqa: ARG002
        """Does what the payload's name says."""
        match message.name.split():
            case ["hold"]:
                await self.gate.wait()
            case ["fail"]:
                raise ValueError("no such mail")
            case ["wait"]:
                return Retry(after=timedelta(hours=1), error="not yet")
        return None

    def worker(self, *kinds: str, **settings: Any) -> Any:
        """A worker for kinds, Greet if none is named; to be entered."""
        functions = dict.fromkeys(kinds or ("Greet",), self.greet)
        return self.installation.working(self.installation.worker(self.installation.handlers(**functions), **settings))

    async def enqueue(self, name: str = "", **options: Any) -> int:
        return int(await self.installation.enqueue(TestKinds.Greet(name=name), **options))

    async def explained(self, job_id: int) -> Explanation:
        async with await self.installation.connect() as connection:
            return await explain_job_async(connection, job_id)

    async def reason(self, job_id: int) -> Any:
        return (await self.explained(job_id)).reason

    async def becomes(
        self, eventually: Eventually, job_id: int, expected: type[Any], within: float = 15.0, **facts: Any
    ) -> Any:
        """Waits until that is the reason, and these are facts of it. Returns it."""
        found: Any = None

        async def so() -> bool:
            nonlocal found
            found = await self.reason(job_id)
            return isinstance(found, expected) and all(getattr(found, name) == fact for name, fact in facts.items())

        await eventually(so, within=within)
        return found

    async def act(self, action: Any, *args: Any, **options: Any) -> None:
        async with await self.installation.connect() as connection:
            await action(connection, *args, **options)

    async def sql(self, query: str) -> list[Any]:
        rows: list[Any] = await self.installation.execute(query)
        return rows

    async def present(self, eventually: Eventually, workers: int = 1) -> None:
        """Waits until so many workers have beaten at least once."""

        async def beaten() -> bool:
            query = "select from headrace.workers where free is not null and stopped_at is null"
            return len(await self.sql(query)) >= workers

        await eventually(beaten)


@pytest.fixture
async def situation(installation: Installation) -> AsyncIterator[Situation]:
    situation = Situation(installation)
    yield situation
    situation.gate.set()


@asynccontextmanager
async def process(situation: Situation) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker as a separate process, ended in the end."""
    await situation.sql(
        "create table if not exists attempts (n serial, job_id bigint, attempt int, lease int, pid int)"
    )
    await situation.sql("create table if not exists gate (open boolean)")
    running = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), situation.installation.dsn)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


# ── It has ended, or was set aside ──────────────────────────────────────────────────────────────────────────────────


async def test_a_completed_job_has_finished(situation: Situation, eventually: Eventually) -> None:
    job_id = await situation.enqueue()
    async with situation.worker():
        reason = await situation.becomes(eventually, job_id, reasons.Finished)
    assert (reason.state, reason.last_error) == (JobState.COMPLETED, None)
    assert reason.finished_at == (await situation.installation.job(job_id)).finished_at


async def test_a_discarded_job_has_finished_with_its_last_error(situation: Situation, eventually: Eventually) -> None:
    job_id = await situation.enqueue("fail", max_retries=1)
    async with situation.worker():
        reason = await situation.becomes(eventually, job_id, reasons.Finished)
    assert reason.state is JobState.DISCARDED
    assert (reason.last_error.type, reason.last_error.attempt) == ("ValueError", 2)
    summary = (await situation.explained(job_id)).summary
    assert summary.startswith("It was discarded ")
    assert "ValueError" in summary
    assert "no such mail" not in summary, "the error's text may quote a payload"


async def test_a_cancelled_job_has_finished(situation: Situation) -> None:
    job_id = await situation.enqueue()
    await situation.act(cancel_job_async, job_id)
    reason = await situation.reason(job_id)
    assert isinstance(reason, reasons.Finished)
    assert reason.state is JobState.CANCELLED


async def test_a_job_that_cant_be_decoded_is_quarantined(situation: Situation, eventually: Eventually) -> None:
    job_id = await situation.enqueue()
    await situation.sql(f"update headrace.jobs set payload = '\\xff' where id = {job_id}")
    async with situation.worker():
        reason = await situation.becomes(eventually, job_id, reasons.Quarantined)
    assert (reason.error.type, reason.deaths) == ("undecodable", 0)
    assert "undecodable" in (await situation.explained(job_id)).summary


async def test_a_job_that_workers_died_with_is_quarantined(situation: Situation, eventually: Eventually) -> None:
    job_id = await situation.enqueue("hold")
    async with situation.worker("Count"), process(situation) as victim:
        await situation.becomes(eventually, job_id, reasons.Running)
        await situation.sql(f"update headrace.jobs set deaths = 2 where id = {job_id}")
        victim.kill()
        reason = await situation.becomes(eventually, job_id, reasons.Quarantined, within=30.0, deaths=3)
    assert reason.error.type == "worker_lost"
    assert "3 workers died" in (await situation.explained(job_id)).summary


# ── It runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_running_job_says_where_since_when_and_until_when(situation: Situation, eventually: Eventually) -> None:
    job_id = await situation.enqueue("hold", timeout=timedelta(minutes=10))
    async with situation.worker(name="one:1"):
        reason = await situation.becomes(eventually, job_id, reasons.Running)
        assert reason.worker == "one:1"
        assert reason.deadline - reason.claimed_at == timedelta(minutes=10)
        assert reason.silence < timedelta(seconds=5)
        assert reason.cancel_requested_at is None
        assert (await situation.explained(job_id)).summary.startswith("Worker one:1 has been running it for ")
        situation.gate.set()


async def test_a_job_that_is_to_be_cancelled_says_so_while_it_runs(
    situation: Situation, eventually: Eventually
) -> None:
    job_id = await situation.enqueue("hold")
    async with process(situation) as running:
        await situation.becomes(eventually, job_id, reasons.Running)
        running.send_signal(signal.SIGSTOP)  # so that it doesn't hear of it
        await situation.act(cancel_job_async, job_id)
        reason = await situation.reason(job_id)
        assert reason.cancel_requested_at is not None
        assert "Its cancellation was requested" in (await situation.explained(job_id)).summary

        async def silent() -> bool:
            return bool((await situation.reason(job_id)).silence > timedelta(seconds=4))

        await eventually(silent)
        assert "has sent no heartbeat for" in (await situation.explained(job_id)).summary


async def test_a_job_that_blocks_its_worker_is_hung_and_so_are_those_behind_it(
    situation: Situation, eventually: Eventually
) -> None:
    async with process(situation) as worker:
        job_id = await situation.enqueue("block 60", timeout=timedelta(minutes=10))
        reason = await situation.becomes(eventually, job_id, reasons.Hung)
        assert reason.worker == f"process:{worker.pid}"
        assert abs(reason.hung_since - reason.claimed_at) < timedelta(seconds=3), "it has not moved since it began"
        assert "a handler has been blocking its event loop" in (await situation.explained(job_id)).summary
        behind = await situation.reason(await situation.enqueue())
        assert isinstance(behind, reasons.Behind)
        assert (behind.jobs_before, behind.workers, behind.hung_workers, behind.eta) == (0, 1, 1, None)
        assert "hung: a handler blocks" in reason_text(behind, datetime.now(UTC))


# ── It waits for a time, or for other jobs ──────────────────────────────────────────────────────────────────────────


async def test_a_job_for_later_is_scheduled(situation: Situation) -> None:
    run_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    job_id = await situation.enqueue(run_at=run_at)
    assert await situation.reason(job_id) == reasons.Scheduled(run_at)
    summary = (await situation.explained(job_id)).summary
    assert f"scheduled for {run_at:%Y-%m-%d %H:%M:%S} UTC, in 1 hour 59 minutes" in summary


async def test_a_job_whose_attempt_failed_waits_for_the_next_one(situation: Situation, eventually: Eventually) -> None:
    job_id = await situation.enqueue("wait", max_retries=4)
    async with situation.worker():
        reason = await situation.becomes(eventually, job_id, reasons.WaitsForRetry)
    assert (reason.attempt, reason.max_attempts, reason.last_error.message) == (1, 5, "not yet")
    assert timedelta(minutes=59) < reason.retry_at - datetime.now(UTC) <= timedelta(hours=1)
    assert "Attempt 1 of 5 failed (Retry). The next one is due at" in (await situation.explained(job_id)).summary


async def test_a_job_that_waits_for_others_is_pending(situation: Situation) -> None:
    job_id = await situation.enqueue()
    await situation.sql(f"update headrace.jobs set state = 'pending', ready_xid = null where id = {job_id}")
    assert await situation.reason(job_id) == reasons.Pending()


async def test_a_job_whose_time_has_come_tells_what_else_is_in_its_way(situation: Situation) -> None:
    """It is not available yet: workers promote due jobs, and there is none."""
    job_id = await situation.enqueue(run_at=datetime.now(UTC) + timedelta(hours=1))
    await situation.sql(f"update headrace.jobs set due_at = now() - interval '1 hour' where id = {job_id}")
    assert await situation.reason(job_id) == reasons.KindNotKnown(GREET, 0, None)
    await situation.act(pause_queue_async, "greetings", by="ann")
    assert isinstance(await situation.reason(job_id), reasons.Paused)


# ── It is paused ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pause", "names", "what", "name"),
    [
        (pause_all_async, (), "all", ""),
        (pause_kind_async, (GREET,), "kind", GREET),
        (pause_queue_async, ("greetings",), "queue", "greetings"),
    ],
)
async def test_a_paused_job_says_what_is_paused_by_whom_since_when(
    situation: Situation, eventually: Eventually, pause: Any, names: tuple[str, ...], what: str, name: str
) -> None:
    await situation.act(pause, *names, by="ann")
    async with situation.worker():
        await situation.present(eventually)
        explanation = await situation.explained(await situation.enqueue())
        reason: Any = explanation.reason
        assert (reason.what, reason.name, reason.paused_by, reason.others) == (what, name, "ann", 0)
        assert timedelta(0) <= explanation.at - reason.paused_at < timedelta(minutes=1)
        assert "was paused by ann" in explanation.summary


async def test_of_several_pauses_the_widest_is_told_and_the_others_are_counted(situation: Situation) -> None:
    await situation.act(pause_queue_async, "numbers", by="eve")
    await situation.act(pause_queue_async, "greetings", by="bob")
    await situation.act(pause_kind_async, GREET, by="cid")
    await situation.act(pause_all_async, by="ann")
    explanation = await situation.explained(await situation.enqueue())
    reason: Any = explanation.reason
    assert (reason.what, reason.paused_by, reason.others) == ("all", "ann", 2)
    assert "2 other pauses would still block it" in explanation.summary


# ── Nobody is there who could run it ────────────────────────────────────────────────────────────────────────────────


async def test_without_a_worker_no_one_knows_its_kind(situation: Situation) -> None:
    explanation = await situation.explained(await situation.enqueue())
    assert explanation.reason == reasons.KindNotKnown(GREET, 0, None)
    assert explanation.summary.startswith("No worker is live that knows its kind")


async def test_a_kind_without_a_handler_tells_when_one_was_last_there(
    situation: Situation, eventually: Eventually
) -> None:
    async with situation.worker("Greet"):
        await situation.present(eventually)
    async with situation.worker("Count"):
        await situation.present(eventually)
        explanation = await situation.explained(await situation.enqueue())
    reason: Any = explanation.reason
    assert (reason.kind, reason.live_workers) == (GREET, 1)
    assert explanation.at - reason.last_known_at < timedelta(minutes=1)
    assert "None of 1 live worker knows its kind" in explanation.summary


async def test_the_last_worker_of_all_may_die_unseen(situation: Situation, eventually: Eventually) -> None:
    """Nobody is left to declare it dead, so its silence has to say it."""
    async with process(situation) as only:
        await situation.present(eventually)
        only.kill()
        await only.wait()
        job_id = await situation.enqueue()
        reason = await situation.becomes(eventually, job_id, reasons.KindNotKnown, within=30.0)
    assert (reason.live_workers, reason.last_known_at is not None) == (0, True)


async def test_a_version_that_is_too_new_for_every_worker(situation: Situation, eventually: Eventually) -> None:
    @job_kind(GREET, queue="greetings", version=7)
    @dataclass
    class Greet:
        name: str

    async with situation.worker(), await situation.installation.connect() as connection:
        await situation.present(eventually)
        job_id = (await Enqueuer(Kinds([Greet])).enqueue_async(connection, NewJob(Greet("Ada")))).job_id
        assert await situation.reason(job_id) == reasons.VersionNotKnown(GREET, 7, 1)
        assert "waits for a newer worker" in (await situation.explained(job_id)).summary


async def test_a_queue_that_no_worker_claims_from(situation: Situation, eventually: Eventually) -> None:
    async with situation.worker("Greet", "Count"):
        await situation.present(eventually)
        job_id = await situation.enqueue(queue="elsewhere")
        assert await situation.reason(job_id) == reasons.QueueUnserved("elsewhere", ("greetings", "numbers"))
        assert "elsewhere" in (await situation.explained(job_id)).summary


async def test_a_queue_that_rests_on_every_worker(situation: Situation, eventually: Eventually) -> None:
    async with situation.worker("Greet", "Count", queue_slots={"greetings": 0}):
        await situation.present(eventually)
        job_id = await situation.enqueue()
        assert await situation.reason(job_id) == reasons.QueueUnserved("greetings", ("numbers",))


async def test_workers_with_jobs_disabled(situation: Situation, eventually: Eventually) -> None:
    async with situation.worker(enabled=False, name="idle:1"):
        await situation.present(eventually)
        explanation = await situation.explained(await situation.enqueue())
    assert explanation.reason == reasons.JobsDisabled(("idle:1",))
    assert "JOBS_ENABLED=false" in explanation.summary


async def test_one_worker_that_can_is_enough(situation: Situation, eventually: Eventually) -> None:
    async with (
        situation.worker("Count"),
        situation.worker(enabled=False),
        situation.worker(slots=1),
    ):
        await situation.present(eventually, workers=3)
        assert isinstance(await unseen(situation), reasons.Next)


# ── It is available ─────────────────────────────────────────────────────────────────────────────────────────────────


async def unseen(situation: Situation, **options: Any) -> Any:
    """Why a job does not run that is available but that no worker can see yet: its transaction is open."""
    async with await situation.installation.connect(autocommit=False) as connection:
        new = NewJob(TestKinds.Greet(), **options)
        accepted = await situation.installation.enqueuer.enqueue_async(connection, new)
        return (await explain_job_async(connection, accepted.job_id)).reason


async def test_a_job_with_nothing_in_its_way_is_next(situation: Situation, eventually: Eventually) -> None:
    async with situation.worker():
        await situation.present(eventually)
        reason = await unseen(situation)
    assert isinstance(reason, reasons.Next)
    assert "claimed within moments" in reason_text(reason, reason.ready_at)


async def test_a_full_queue_says_its_limit_and_the_jobs_before(situation: Situation, eventually: Eventually) -> None:
    await situation.act(limit_queue_async, "greetings", 2)
    async with situation.worker(slots=5):
        for _ in range(2):
            await situation.becomes(eventually, await situation.enqueue("hold"), reasons.Running)
        first, second = await situation.enqueue(), await situation.enqueue()
        assert await situation.reason(first) == reasons.QueueFull("greetings", 2, 0, more=False)
        explanation = await situation.explained(second)
        assert explanation.reason == reasons.QueueFull("greetings", 2, 1, more=False)
        assert "greetings, is limited to 2 jobs at once, and as many are running. 1 job is ahead" in explanation.summary
        situation.gate.set()
        await situation.becomes(eventually, second, reasons.Finished)


async def test_the_first_job_of_its_queue_waits_for_a_free_slot(situation: Situation, eventually: Eventually) -> None:
    async with situation.worker(slots=1):
        await situation.becomes(eventually, await situation.enqueue("hold"), reasons.Running)
        job_id = await situation.enqueue()
        reason = await situation.becomes(eventually, job_id, reasons.Behind, free_slots=0)
        assert (reason.jobs_before, reason.workers, reason.hung_workers, reason.eta) == (0, 1, 0, None)
        assert (await situation.explained(job_id)).summary == (
            "It is the first in its queue. The one worker that could run it is busy in all slots. No job of its "
            "queue has ended in the last minutes, so no estimate can be made."
        )
        situation.gate.set()


async def test_behind_others_the_rate_says_when_its_turn_comes(situation: Situation, eventually: Eventually) -> None:
    async with situation.worker(slots=1):
        for _ in range(50):
            await situation.enqueue()
        await situation.becomes(eventually, await situation.enqueue("hold"), reasons.Running)
        jobs = [await situation.enqueue() for _ in range(4)]
        urgent = await situation.enqueue(priority=1)

        async def rated() -> bool:  # and has told that it is busy: it says both with a beat, maybe not the same one
            reason = await situation.reason(jobs[-1])
            return bool(reason.jobs_per_second > 0 and reason.free_slots == 0)

        await eventually(rated)
        reason = await situation.reason(jobs[-1])
        assert (reason.jobs_before, reason.more) == (4, False), "three of its priority, and the urgent one"
        assert reason.eta == pytest.approx(timedelta(seconds=5 / reason.jobs_per_second), abs=timedelta(seconds=0.001))
        assert (await situation.reason(urgent)).jobs_before == 0
        assert "4 jobs are ahead of it" in (await situation.explained(jobs[-1])).summary
        situation.gate.set()


async def test_jobs_that_no_worker_may_claim_delay_no_other(situation: Situation, eventually: Eventually) -> None:
    async with situation.worker("Greet", "GreetAgain"):
        await situation.present(eventually)
        await situation.act(pause_kind_async, "headrace.test.v1.GreetAgain", by="ann")
        for _ in range(3):
            await situation.installation.enqueue(TestKinds.GreetAgain())
            await situation.installation.enqueue(TestKinds.Count(), queue="greetings", priority=1)
        assert isinstance(await unseen(situation, priority=4), reasons.Next)


async def test_a_long_queue_is_counted_up_to_a_bound(
    situation: Situation, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "MOST_BEFORE", 3)
    async with situation.worker(slots=1):
        await situation.becomes(eventually, await situation.enqueue("hold"), reasons.Running)
        jobs = [await situation.enqueue() for _ in range(6)]
        exact, beyond = await situation.reason(jobs[3]), await situation.reason(jobs[4])
        assert (exact.jobs_before, exact.more) == (3, False)
        assert (beyond.jobs_before, beyond.more) == (4, True)
        assert "At least 4 jobs are ahead of it" in reason_text(beyond, datetime.now(UTC))
        situation.gate.set()


async def test_a_worker_of_an_older_version_does_not_say_what_is_free(
    situation: Situation, eventually: Eventually
) -> None:
    await situation.sql(
        "insert into headrace.workers (name, queues, kinds, versions)"
        f" values ('older', '{{greetings}}', '{{{GREET}}}', '{{1}}')"
    )
    assert isinstance(await situation.reason(await situation.enqueue()), reasons.Next)


# ── Another job stands for it ───────────────────────────────────────────────────────────────────────────────────────


async def asked(situation: Situation, new: NewJob) -> Explanation:
    async with await situation.installation.connect() as connection:
        return await explain_enqueue_async(connection, situation.installation.enqueuer, new)


async def test_an_enqueue_that_would_be_accepted_was_not_made(situation: Situation) -> None:
    explanation = await asked(situation, NewJob(TestKinds.Greet(), key="k", unique=Unique()))
    assert (explanation.job, explanation.reason) == (None, reasons.NotEnqueued())
    assert await situation.sql("select from headrace.jobs") == []
    assert await situation.sql("select from headrace.idempotency_keys union all select from headrace.unique_keys") == []


async def test_a_key_that_was_used_names_the_job_and_its_end(situation: Situation) -> None:
    new = NewJob(TestKinds.Greet(name="Ada"), key="k")
    job_id = await situation.enqueue("Ada", key="k")
    explanation = await asked(situation, new)
    reason: Any = explanation.reason
    assert explanation.job is not None
    assert (explanation.job.id, reason.job_id, reason.state, reason.by) == (job_id, job_id, "available", "key")
    assert timedelta(days=6) < reason.until - explanation.at <= timedelta(days=7)
    await situation.sql("delete from headrace.jobs")
    gone = await asked(situation, new)
    assert (gone.job, gone.reason) == (None, reasons.Duplicate(job_id, None, "key", reason.until))
    assert "which has been deleted" in gone.summary


async def test_an_explained_enqueue_rejects_a_key_used_for_another_payload(situation: Situation) -> None:
    await situation.enqueue("Ada", key="k")
    with pytest.raises(KeyReusedError):
        await asked(situation, NewJob(TestKinds.Greet(name="Bob"), key="k"))
    with pytest.raises(OptionInvalidError):
        await asked(situation, NewJob(TestKinds.Greet(), priority=9))


async def test_a_uniqueness_that_is_held_names_the_job_that_holds_it(
    situation: Situation, eventually: Eventually
) -> None:
    open_ended = NewJob(TestKinds.Greet(name="Ada"), unique=Unique())
    job_id = await situation.enqueue("Ada", unique=Unique())
    explanation = await asked(situation, open_ended)
    assert explanation.reason == reasons.Duplicate(job_id, JobState.AVAILABLE, "unique", None)
    assert f"a duplicate, by its uniqueness rule, of job {job_id}, which is available" in explanation.summary
    async with situation.worker():
        await situation.becomes(eventually, job_id, reasons.Finished)
    assert (await asked(situation, open_ended)).reason == reasons.NotEnqueued(), "a completed job counts no more"
    for_an_hour = NewJob(TestKinds.Greet(name="Ada"), unique=Unique(period=timedelta(hours=1)))
    reason: Any = (await asked(situation, for_an_hour)).reason
    assert (reason.job_id, reason.state) == (job_id, "completed")
    assert reason.until == (await situation.installation.job(job_id)).created_at + timedelta(hours=1)


# ── In general ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("job_id", [0, -1, 17, 2**63])
async def test_a_job_that_is_not_there_is_not_found(situation: Situation, job_id: int) -> None:
    with pytest.raises(JobNotFoundError):
        await situation.explained(job_id)


def test_this_file_makes_every_reason_for_real() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [each.__name__ for each in get_args(reasons.Reason) if f"reasons.{each.__name__}" not in text] == []


def test_every_reason_has_its_words() -> None:
    assert {each for each in reason_text.registry if each is not object} == set(get_args(reasons.Reason))
