"""The relay under faults: crashes, other relays, and a service or database that is down."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from eventually import Eventually
from grpc import StatusCode
from sqlalchemy import text

from headrace.outbox import Backoff, RelaySettings

if TYPE_CHECKING:
    from libs.outbox.tests.conftest import JobsDouble, OutboxHouse, Relaying

PROGRAM = Path(__file__).with_name("relay_process.py")


class RelayProcess(Protocol):
    """Runs a relay in a separate process, and kills it at the end of the block if it still runs."""

    def __call__(self, *, lease: float = 5) -> AbstractAsyncContextManager[asyncio.subprocess.Process]: ...


@pytest.fixture
def relay_process(house: OutboxHouse, jobs: JobsDouble) -> RelayProcess:
    @asynccontextmanager
    async def run(*, lease: float = 5) -> AsyncIterator[asyncio.subprocess.Process]:
        database = house.engine.url.render_as_string(hide_password=False)
        command = [str(PROGRAM), database, jobs.target, str(lease)]
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return run


async def test_a_relay_killed_between_the_call_and_the_mark_is_followed_by_the_same_key(
    house: OutboxHouse, jobs: JobsDouble, relay_process: RelayProcess, relaying: Relaying
) -> None:
    [key] = await house.add()
    jobs.open.clear()  # the job is accepted, but its result never arrives
    async with relay_process(lease=1) as killed:
        await jobs.until(lambda: jobs.handed[key] == 1)
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
    [row] = await house.rows()
    assert row["sent_at"] is None
    assert row["leased_by"] is not None
    jobs.open.set()
    async with relaying():
        [row] = await house.until_sent()
    assert jobs.handed == {key: 2}
    assert (len(jobs.jobs), row["job_id"]) == (1, "1")


async def test_a_relay_cancelled_between_the_lease_and_the_answer_is_followed_by_the_same_key(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, quick: RelaySettings
) -> None:
    [key] = await house.add()
    jobs.open.clear()
    settings = replace(quick, lease=timedelta(seconds=1), call_timeout=timedelta(seconds=0.9))

    async def relay() -> None:
        async with relaying(settings):
            await asyncio.Event().wait()

    task = asyncio.create_task(relay())
    await jobs.until(lambda: jobs.handed[key] == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    jobs.open.set()
    async with relaying():
        await house.until_sent()
    assert jobs.handed == {key: 2}


async def test_relays_in_two_processes_share_two_thousand_rows_and_miss_none(
    house: OutboxHouse, jobs: JobsDouble, relay_process: RelayProcess
) -> None:
    keys = await house.add(2000)
    async with relay_process() as first, relay_process() as second:
        rows = await house.until_sent()
        for process in (first, second):
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    assert set(jobs.handed) == set(keys)
    assert jobs.handed.total() == 2000
    assert {row["job_id"] for row in rows} == set(jobs.jobs.values())
    for call in jobs.received:
        sent = [item.idempotency_key for item in call.requests]
        assert sent == sorted(sent)


async def test_a_relay_that_outlives_its_lease_and_a_second_one_make_one_job_each(
    house: OutboxHouse, jobs: JobsDouble, relay_process: RelayProcess, relaying: Relaying
) -> None:
    keys = await house.add(20)
    jobs.open.clear()
    async with relay_process(lease=1) as stopped:
        await jobs.until(lambda: jobs.handed.total() == 20)
        stopped.send_signal(signal.SIGSTOP)
        jobs.open.set()
        async with relaying():
            await house.until_sent()
        stopped.send_signal(signal.SIGCONT)
        stopped.send_signal(signal.SIGTERM)
        assert await stopped.wait() == 0
    rows = await house.rows()
    assert jobs.handed == dict.fromkeys(keys, 2)
    assert {row["job_id"] for row in rows} == {str(number + 1) for number in range(20)}


async def test_alerts_are_counted_by_a_metric(
    house: OutboxHouse, jobs: JobsDouble, relay_process: RelayProcess
) -> None:
    for key in await house.add(2):
        jobs.items[key].append(jobs.refusal(StatusCode.INVALID_ARGUMENT))
    async with relay_process() as process:
        await house.until_parked()
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        [counted] = json.loads(await process.stdout.read())
    kind = "saas.jobs.v1.SendVerificationEmail"
    assert counted == {
        "rows": 2,
        "headrace.job.kind": kind,
        "error.type": "INVALID_ARGUMENT",
        "headrace.outbox.action": "parked",
    }


async def test_a_commit_wakes_the_relay_long_before_its_poll(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, quick: RelaySettings
) -> None:
    async with relaying(replace(quick, poll=timedelta(hours=1))):
        for _ in range(3):
            await house.add()
            await house.until_sent()
    assert jobs.handed.total() == 3


async def test_a_row_written_by_another_process_is_found_by_the_poll(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying
) -> None:
    async with relaying():
        await house.add()
        await house.until_sent()
        async with house.engine.begin() as connection:
            await connection.execute(
                text(
                    "insert into outbox (id, kind, queue, version, payload, idempotency_key)"
                    " select gen_random_uuid(), kind, queue, version, payload, 'elsewhere' from outbox"
                )
            )
        await house.until_sent()
    assert jobs.handed["elsewhere"] == 1


async def test_while_the_service_is_away_a_relay_makes_one_failing_call_per_pause_and_all_rows_follow(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, quick: RelaySettings
) -> None:
    keys = await house.add(500)
    pause = Backoff(base=timedelta(milliseconds=200), factor=1, cap=timedelta(milliseconds=200))
    away = True
    jobs.refuses_call = lambda _: jobs.refusal(StatusCode.UNAVAILABLE) if away else None
    async with relaying(replace(quick, outage_backoff=pause, batch=50)) as relay:
        for _ in range(4):
            await house.add()  # each commit wakes the relay, and must not shorten its pause
            relay.wake()
            seen = len(jobs.received)
            await jobs.until(lambda seen=seen: len(jobs.received) > seen)  # type: ignore[misc]
        calls = jobs.received_at.copy()
        away = False
        await house.until_sent()
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(calls))
    assert len(jobs.handed) == len(keys) + 4
    assert set(jobs.handed.values()) == {1}


async def test_a_service_that_is_exhausted_without_saying_for_how_long_is_not_hammered_row_by_row(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying
) -> None:
    keys = await house.add(64)
    exhausted = True
    jobs.refuses_call = lambda _: jobs.refusal(StatusCode.RESOURCE_EXHAUSTED) if exhausted else None
    async with relaying():
        await house.until(lambda rows: all(row["last_error"] for row in rows))
        assert len(jobs.received) < 20
        exhausted = False
        await house.until_sent()
    assert set(jobs.handed) == set(keys)


async def test_rows_added_while_the_service_is_down_follow_when_it_is_back(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying
) -> None:
    await jobs.stop()
    async with relaying():
        keys = await house.add(5)
        await house.until(lambda rows: any(row["last_error"] for row in rows))
        await jobs.start()
        await house.until_sent()
    assert set(jobs.handed) == set(keys)


async def test_a_service_that_does_not_answer_is_given_up_at_the_deadline(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, quick: RelaySettings
) -> None:
    [key] = await house.add()
    jobs.open.clear()
    async with relaying(replace(quick, call_timeout=timedelta(milliseconds=300))):
        await house.until(lambda rows: bool(rows[0]["last_error"]))
        jobs.open.set()
        await house.until_sent()
    assert jobs.handed[key] >= 2
    assert len(jobs.jobs) == 1


async def test_a_batch_is_bounded_in_rows_and_in_bytes_but_a_large_row_still_goes(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, quick: RelaySettings
) -> None:
    await house.add(10)
    async with relaying(replace(quick, batch=4)):
        await house.until_sent()
    assert [len(call.requests) for call in jobs.received] == [4, 4, 2]
    jobs.received.clear()
    await house.add(5)
    async with relaying(replace(quick, batch_bytes=38 * 2 + 1)):  # a row here is of 38 bytes
        await house.until_sent()
    assert [len(call.requests) for call in jobs.received] == [2, 2, 1]
    jobs.received.clear()
    await house.add(2)
    async with relaying(replace(quick, batch_bytes=1)):
        await house.until_sent()
    assert [len(call.requests) for call in jobs.received] == [1, 1]


async def test_a_relay_that_starts_before_the_table_exists_and_loses_its_connections_goes_on(
    house: OutboxHouse,
    jobs: JobsDouble,
    relaying: Relaying,
    caplog: pytest.LogCaptureFixture,
    eventually: Eventually,
) -> None:
    async with house.engine.begin() as connection:
        await connection.execute(text("alter table outbox rename to elsewhere"))
    async with relaying():
        await eventually(lambda: "outbox_database_failed" in caplog.messages)
        async with house.engine.begin() as connection:
            await connection.execute(text("alter table elsewhere rename to outbox"))
        await house.add()
        await house.until_sent()
        async with house.engine.connect() as connection:
            await connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        await house.add()
        await house.until_sent()
    assert jobs.handed.total() == 2


async def test_a_transaction_that_takes_too_long_is_given_up_and_tried_again(
    house: OutboxHouse,
    jobs: JobsDouble,
    relaying: Relaying,
    quick: RelaySettings,
    caplog: pytest.LogCaptureFixture,
    eventually: Eventually,
) -> None:
    await house.add()
    settings = replace(quick, database_timeout=timedelta(milliseconds=300))
    async with house.engine.begin() as locker:
        await locker.execute(text("lock table outbox in access exclusive mode"))
        async with relaying(settings):
            started = time.monotonic()
            await eventually(lambda: "outbox_database_failed" in caplog.messages)
            assert time.monotonic() - started < 5
            await locker.rollback()
            await house.until_sent()
    assert jobs.handed.total() == 1


async def test_sent_rows_are_removed_after_their_retention_and_no_others(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, quick: RelaySettings
) -> None:
    parked, *sent = await house.add(8)
    jobs.items[parked].append(jobs.refusal(StatusCode.FAILED_PRECONDITION))
    async with relaying():
        await house.until(lambda rows: all(row["sent_at"] or row["parked_at"] for row in rows))
    async with house.engine.begin() as connection:
        await connection.execute(
            text("update outbox set sent_at = sent_at - interval '8 days' where idempotency_key = any(:keys)"),
            {"keys": sent[:5]},
        )
    async with relaying(replace(quick, clean_batch=2)):
        rows = await house.until(lambda rows: len(rows) == 3)
    assert {row["idempotency_key"] for row in rows} == {parked, *sent[5:]}


async def test_a_stopped_relay_finishes_its_round_first(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying
) -> None:
    [key] = await house.add()
    jobs.open.clear()
    async with relaying():
        await jobs.until(lambda: jobs.handed[key] == 1)
        asyncio.get_running_loop().call_soon(jobs.open.set)  # after the stop below
    [row] = await house.rows()
    assert row["sent_at"] is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "RelaySettings.batch must be 1 or more; given: 0"),
        ({"poll": timedelta(0)}, "RelaySettings.poll must be longer than 0"),
        ({"lease": timedelta(seconds=10)}, "must be shorter than the lease"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, int | timedelta], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelaySettings(**options)  # type: ignore[arg-type]


async def test_the_version_that_a_payload_was_written_in_is_sent_with_it(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying
) -> None:
    [first, second] = await house.add(2)
    async with house.engine.begin() as connection:  # as an earlier release of the kind has written it
        await connection.execute(text("update outbox set version = 2 where id = cast(:id as uuid)"), {"id": second})
    async with relaying():
        await house.until_sent()
    sent = {item.idempotency_key: item.version for request in jobs.received for item in request.requests}
    assert sent == {first: 1, second: 2}
