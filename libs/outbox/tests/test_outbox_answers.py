"""The relay's reaction to each status, for single items and whole calls, with a real gRPC server."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

from headrace.jobs.v1.jobs_service_pb2 import EnqueueBatchRequest, EnqueueResult
from headrace.outbox import Backoff, RelaySettings
from headrace.outbox.responses import HOPELESS, TRANSIENT

if TYPE_CHECKING:
    from libs.outbox.tests.conftest import JobsDouble, OutboxHouse, Relaying

MENDED_BY_PEOPLE = [StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED, StatusCode.UNIMPLEMENTED]
UNNAMED = [StatusCode.NOT_FOUND, StatusCode.ALREADY_EXISTS, StatusCode.DATA_LOSS]
CODES = [code for code in StatusCode if code is not StatusCode.OK]


def alerts(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.message == "outbox_alert"]


def test_every_code_has_its_place_in_the_table() -> None:
    assert {*TRANSIENT, *MENDED_BY_PEOPLE, *HOPELESS, *UNNAMED} == set(CODES)


async def test_an_accepted_row_is_sent_with_its_job(house: OutboxHouse, jobs: JobsDouble, relaying: Relaying) -> None:
    [key] = await house.add()
    async with relaying():
        [row] = await house.until_sent()
    assert row["job_id"] == jobs.jobs["type.googleapis.com/saas.jobs.v1.SendVerificationEmail", key]
    assert (row["last_error"], row["leased_by"], row["parked_at"], row["attempts"]) == (None, None, None, 1)


async def test_a_duplicate_is_sent_with_the_job_there_is(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying
) -> None:
    await house.add(key="evt_1")
    await house.add(key="evt_1")
    async with relaying():
        rows = await house.until_sent()
    assert {row["job_id"] for row in rows} == {"1"}
    assert jobs.handed == {"evt_1": 2}


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_each_item_is_marked_by_its_own_answer(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, caplog: pytest.LogCaptureFixture, code: StatusCode
) -> None:
    refused, fine = await house.add(2)
    jobs.items[refused].append(jobs.refusal(code, "not now"))
    async with relaying():
        rows = await house.until(lambda rows: all(row["sent_at"] or row["parked_at"] for row in rows))
    row, other = rows
    assert jobs.handed[fine] == 1
    assert other["sent_at"] is not None
    if code in HOPELESS:
        assert row["parked_at"] is not None
        assert row["last_error"] == f"{code.name}: not now"
        assert jobs.handed[refused] == 1
    else:
        assert row["sent_at"] is not None
        assert jobs.handed[refused] == 2
    expected = [] if code in TRANSIENT else [("parked" if code in HOPELESS else "retried", code.name, 1)]
    told = [vars(record) for record in alerts(caplog)]
    assert [(line["action"], line["code"], line["rows"]) for line in told] == expected
    assert all(line["row_ids"] == [refused] and line["levelno"] == logging.ERROR for line in told)


@pytest.mark.parametrize("code", [code for code in CODES if code not in HOPELESS], ids=lambda code: code.name)
async def test_the_failure_of_a_whole_call_holds_for_all_its_rows(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, caplog: pytest.LogCaptureFixture, code: StatusCode
) -> None:
    keys = await house.add(3)
    retry_info = timedelta(milliseconds=10) if code is StatusCode.RESOURCE_EXHAUSTED else None
    jobs.calls.append(jobs.refusal(code, "not now", retry_info))
    async with relaying():
        rows = await house.until_sent()
    assert [row["attempts"] for row in rows] == [2, 2, 2]
    assert [[item.idempotency_key for item in call.requests] for call in jobs.received] == [keys, keys]
    told = [vars(record) for record in alerts(caplog)]
    expected = [] if code in TRANSIENT else [("retried", code.name, 3)]
    assert [(line["action"], line["code"], line["rows"]) for line in told] == expected


@pytest.mark.parametrize(
    "code", [*sorted(HOPELESS, key=str), StatusCode.RESOURCE_EXHAUSTED], ids=lambda code: code.name
)
async def test_a_row_that_fails_its_whole_batch_is_found_and_the_others_are_sent(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, code: StatusCode
) -> None:
    keys = await house.add(50)
    poison = keys[17]
    refusal = jobs.refusal(code, "message too large")
    jobs.refuses_call = lambda call: refusal if poison in {item.idempotency_key for item in call.requests} else None
    async with relaying():
        rows = await house.until(lambda rows: sum(bool(row["sent_at"]) for row in rows) == 49)
        rows = await house.until(lambda rows: all(row["sent_at"] or row["last_error"] for row in rows))
    assert {key: count for key, count in jobs.handed.items() if count != 1} == {}
    left = rows[17]
    assert left["last_error"] == f"{code.name}: message too large"
    assert bool(left["parked_at"]) == (code in HOPELESS)


@pytest.mark.parametrize("whole_call", [True, False])
async def test_a_row_comes_back_no_sooner_than_its_retry_info_asks(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, *, whole_call: bool
) -> None:
    [key] = await house.add()
    refusal = jobs.refusal(StatusCode.RESOURCE_EXHAUSTED, "queue full", timedelta(seconds=0.8))
    (jobs.calls if whole_call else jobs.items[key]).append(refusal)
    async with relaying():
        await house.until_sent()
    first, second = jobs.received_at
    assert 0.8 <= second - first < 5


async def test_an_answer_that_does_not_fit_the_batch_accepts_nothing(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.add(2)
    honest = jobs.answers

    def one_short_at_first(call: EnqueueBatchRequest) -> list[EnqueueResult]:
        answers = honest(call)
        return answers[1:] if len(jobs.received) == 1 else answers

    monkeypatch.setattr(jobs, "answers", one_short_at_first)
    async with relaying():
        rows = await house.until_sent()
    assert set(jobs.handed.values()) == {2}
    assert len({row["job_id"] for row in rows}) == 2


async def test_a_row_near_the_end_of_its_keys_memory_is_parked_unsent_until_an_operator_retries_it(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, caplog: pytest.LogCaptureFixture
) -> None:
    old, young = await house.add(2)
    await house.age(old, timedelta(days=6, minutes=1))
    await house.age(young, timedelta(days=5, hours=23))
    async with relaying():
        rows = await house.until(lambda rows: all(row["sent_at"] or row["parked_at"] for row in rows))
        assert rows[0]["last_error"].startswith("TOO_OLD: not accepted within 6 days")
        assert jobs.handed == {young: 1}
        assert [vars(record)["code"] for record in alerts(caplog)] == ["TOO_OLD"]

        async with house.session() as session, session.begin():
            [parked] = await house.outbox.parked(session)
            assert (str(parked.id), parked.kind) == (old, "saas.jobs.v1.SendVerificationEmail")
            assert await house.outbox.retry_parked(session, [parked.id]) == [parked.id]
        await house.until_sent()
    assert jobs.handed == {young: 1, old: 1}


async def test_retrying_all_that_is_parked_leaves_nothing_parked(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying
) -> None:
    keys = await house.add(3)
    for key in keys:
        jobs.items[key].append(jobs.refusal(StatusCode.INVALID_ARGUMENT))
    async with relaying():
        await house.until_parked()
        async with house.session() as session, session.begin():
            assert [str(row_id) for row_id in await house.outbox.retry_parked(session)] == keys
        rows = await house.until_sent()
    assert {(row["parked_at"], row["attempts"]) for row in rows} == {(None, 1)}


async def test_a_refused_row_is_tried_again_ever_more_rarely(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, quick: RelaySettings
) -> None:
    [key] = await house.add()
    jobs.items[key].extend(jobs.refusal(StatusCode.ABORTED) for _ in range(4))
    base = timedelta(milliseconds=60)
    settings = RelaySettings(
        poll=timedelta(milliseconds=5), row_backoff=Backoff(base=base, factor=2, cap=timedelta(seconds=1))
    )
    async with relaying(settings):
        await house.until_sent()
    pauses = [later - earlier for earlier, later in zip(jobs.received_at, jobs.received_at[1:], strict=False)]
    assert all(pause >= 0.03 * 2**failures for failures, pause in enumerate(pauses))
