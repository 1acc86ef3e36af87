"""What a kind redacts is in no error of its attempts, whatever its handler says, and in no answer about the job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import private_handlers
import psycopg
import pytest
from eventually import Eventually
from installation import Installation
from private_kinds import PRIVATE_FILE, Invite, Public

from headrace.queue import (
    Cancel,
    Discard,
    Done,
    Enqueuer,
    Handlers,
    Job,
    Kinds,
    NewJob,
    PayloadInvalidError,
    Retry,
    RunningJob,
    get_job_async,
)
from headrace.queue.inspection.redaction import redact_job
from headrace.queue.maintenance import scheduler
from headrace.redaction import MASK, redacted_text

CANARY = "canary-7f3a@example.com"
KINDS = Kinds.of_file(PRIVATE_FILE)
FINAL = ("completed", "discarded", "cancelled", "quarantined")


@pytest.fixture(autouse=True)
def _quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "INTERVAL", timedelta(milliseconds=20))


async def enqueued(dsn: str, payload: Any, **options: Any) -> int:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        return (await Enqueuer(KINDS).enqueue_async(connection, NewJob(payload, **options))).job_id


async def after(
    installation: Installation,
    eventually: Eventually,
    handler: Callable[..., Any],
    payload: Any,
    mode: Any = None,
    **options: Any,
) -> Job:
    """The job when its handler has had it as often as it may."""
    job_id = await enqueued(installation.dsn, payload, **options)
    handlers = Handlers(KINDS)
    handlers.add(type(payload), handler, mode=mode)

    async def over() -> bool:
        return (await installation.job(job_id)).state in FINAL

    async with installation.working(installation.worker(handlers)):
        await eventually(over)
    job: Job = await installation.job(job_id)
    return job


def stored(job: Job) -> str:
    return "\n".join(error.message + error.traceback for error in job.errors)


async def raises(message: Any, job: RunningJob) -> None:
    raise ValueError(f"can't invite {message.guest!r}: {message}")


def raises_in_thread(message: Any, job: RunningJob) -> None:
    try:
        int(message.guest)
    except ValueError as error:
        raise RuntimeError("wrapped") from error


async def retries(message: Any, job: RunningJob) -> Retry:
    return Retry(f"no answer from {message.guest}")


async def discards(message: Any, job: RunningJob) -> Discard:
    return Discard(f"{message.guest.upper()} does not exist")


async def cancels(message: Any, job: RunningJob) -> Cancel:
    return Cancel(f"{message.guest} has moved")


async def hides(message: Any, job: RunningJob) -> None:
    job.redact("found-elsewhere-1234")
    raise ValueError(f"{message.guest} and found-elsewhere-1234")


@pytest.mark.parametrize("handler", [raises, raises_in_thread, retries, discards, cancels, hides])
async def test_no_error_of_a_handler_holds_a_redacted_value(
    installation: Installation, eventually: Eventually, handler: Callable[..., Any]
) -> None:
    job = await after(installation, eventually, handler, Invite(guest=CANARY, house="No. 4"), max_retries=1)
    assert job.errors
    assert MASK in stored(job)
    assert CANARY not in stored(job).lower()
    assert "found-elsewhere-1234" not in stored(job)
    rows = await installation.execute("select errors::text from headrace.jobs")
    assert CANARY not in str(rows).lower()


async def test_no_error_of_a_handlers_own_process_holds_one(installation: Installation, eventually: Eventually) -> None:
    job = await after(installation, eventually, private_handlers.tell, Invite(guest=CANARY), mode="process")
    assert [error.message for error in job.errors] == [f"can't invite {MASK} of {MASK}"] * 2
    assert "canary" not in stored(job)


async def test_a_value_that_straddles_the_cut_of_a_text_is_not_half_there(
    installation: Installation, eventually: Eventually
) -> None:
    async def raises_at_length(message: Any, job: RunningJob) -> None:
        raise ValueError("x" * 1990 + message.guest)

    job = await after(installation, eventually, raises_at_length, Invite(guest=CANARY), max_retries=0)
    assert "canary" not in stored(job)


async def test_what_is_not_redacted_can_be_read(installation: Installation, eventually: Eventually) -> None:
    async def complains(message: Any, job: RunningJob) -> Discard:
        return Discard(f"no one lives at {message.house}")

    job = await after(installation, eventually, complains, Invite(guest=CANARY, house="No. 4"))
    assert job.errors[0].message == "no one lives at No. 4"


async def test_a_handler_can_redact_texts_in_its_tasks_and_threads(
    installation: Installation, eventually: Eventually
) -> None:
    seen: list[str] = []

    def in_thread(message: Any, job: RunningJob) -> None:
        threading_context_text = redacted_text(f"to {message.guest}")
        seen.append(threading_context_text)
        seen.append(threading.current_thread().name)

    await after(installation, eventually, in_thread, Invite(guest=CANARY))
    assert seen == [f"to {MASK}", "headrace-job"]


async def test_the_engines_own_log_lines_name_no_value(
    installation: Installation, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await after(installation, eventually, raises, Invite(guest=CANARY), max_retries=1)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("headrace")]
    assert lines
    assert not any(CANARY in each for each in lines)


def test_jobs_that_are_printed_show_no_payload() -> None:
    assert CANARY not in repr(NewJob(Invite(guest=CANARY)))


def test_a_rule_that_quotes_the_value_is_answered_without_it() -> None:
    codec = KINDS.of(Invite).codec
    with pytest.raises(PayloadInvalidError) as refused:
        codec.check(Invite(guest="bad Ada Lovelace").SerializeToString())
    (violation,) = refused.value.violations
    assert (violation.field, violation.description) == ("guest", f"no guest is called {MASK}")
    assert "Lovelace" not in str(refused.value)


class TestAJobThatIsShown:
    """`redact_job`."""

    async def shown(self, installation: Installation, payload: Any, **options: Any) -> tuple[Job, tuple[str, ...]]:
        job_id = await enqueued(installation.dsn, payload, **options)
        return redact_job(await installation.job(job_id), KINDS)

    async def test_has_neither_redacted_fields_nor_their_values_elsewhere(
        self, installation: Installation, eventually: Eventually
    ) -> None:
        async def tells(message: Any, job: RunningJob) -> Done:
            job.report_progress([message.guest, message.pin, 1])
            return Done({"sent": {"to": message.guest}, "house": message.house})

        options = {"metadata": {"by": f"<{CANARY}>", "pin": 4711}, "tags": [f"for:{CANARY}", "vip"]}
        job = await after(installation, eventually, tells, Invite(guest=CANARY, house="No. 4", pin=4711), **options)
        seen, paths = redact_job(job, KINDS)
        assert paths == ("guest", "pin")
        assert Invite.FromString(seen.payload) == Invite(guest=MASK, house="No. 4")
        assert seen.output == {"sent": {"to": MASK}, "house": "No. 4"}
        assert seen.progress == [MASK, MASK, 1]
        assert seen.metadata == {"by": f"<{MASK}>", "pin": MASK}
        assert seen.tags == [f"for:{MASK}", "vip"]

    async def test_is_left_as_it_is_without_redacted_values(self, installation: Installation) -> None:
        job_id = await enqueued(installation.dsn, Public(text="hello"), metadata={"by": "hello"})
        job = await installation.job(job_id)
        assert redact_job(job, KINDS) == (job, ())

    async def test_of_an_unknown_kind_shows_no_payload_at_all(self, installation: Installation) -> None:
        job_id = await enqueued(installation.dsn, Public(text="hello"))
        await installation.execute("update headrace.jobs set kind = 'headrace.test.v1.Gone'")
        async with await installation.connect() as connection:
            seen, paths = redact_job(await get_job_async(connection, job_id), KINDS)
        assert (seen.payload, paths) == (b"", ("*",))

    async def test_whose_payload_is_broken_shows_nothing_of_it(self, installation: Installation) -> None:
        job_id = await enqueued(installation.dsn, Public(text="hello"))
        await installation.execute("update headrace.jobs set payload = '\\xff'")
        seen, paths = redact_job(await installation.job(job_id), KINDS)
        assert (seen.payload, paths) == (b"", ("*",))
