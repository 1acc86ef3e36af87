"""The guarantee of `Outbox.add`: the job is sent if and only if the caller's transaction commits."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from google.protobuf.empty_pb2 import Empty
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

from headrace.outbox import NotAJobKindError
from headrace.outbox.ids import time_ordered_id
from saas.jobs.v1.kinds_pb2 import ReconcileStripe, SendVerificationEmail

if TYPE_CHECKING:
    from libs.outbox.tests.conftest import OutboxHouse


def mail() -> SendVerificationEmail:
    return SendVerificationEmail(mail_id=str(uuid4()))


async def test_a_committed_row_holds_kind_queue_and_payload(house: OutboxHouse) -> None:
    message = mail()
    async with house.session() as session, session.begin():
        row_id = house.outbox.add(session, message)
    row = await house.row(str(row_id))
    assert (row["kind"], row["queue"]) == ("saas.jobs.v1.SendVerificationEmail", "email")
    assert SendVerificationEmail.FromString(row["payload"]) == message
    assert row["version"] == 1
    assert row["idempotency_key"] == str(row_id)
    assert row["due_at"] == row["created_at"]


async def test_a_rolled_back_transaction_leaves_neither_the_users_row_nor_the_job(house: OutboxHouse) -> None:
    async with house.session() as session:
        await session.execute(insert(house.users).values(email="a@example.com"))
        house.outbox.add(session, mail())
        await session.flush()
        await session.rollback()
    assert await house.rows() == []


async def test_the_caller_may_name_the_key(house: OutboxHouse) -> None:
    async with house.session() as session, session.begin():
        house.outbox.add(session, mail(), key="evt_1:2")
    assert [row["idempotency_key"] for row in await house.rows()] == ["evt_1:2"]


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_a_key_that_the_contract_refuses_is_refused_at_once(house: OutboxHouse, key: str) -> None:
    async with house.session() as session:
        with pytest.raises(ValueError, match="an idempotency key has 1 to 200 characters"):
            house.outbox.add(session, mail(), key=key)


async def test_a_message_that_is_no_job_kind_is_refused_at_once(house: OutboxHouse) -> None:
    async with house.session() as session:
        with pytest.raises(NotAJobKindError, match=r"google\.protobuf\.Empty is not a job kind: set `option"):
            house.outbox.add(session, Empty())


async def test_listeners_hear_of_the_commit_and_not_of_a_flush_a_savepoint_or_a_rollback(house: OutboxHouse) -> None:
    heard: list[str] = []
    take_off = house.outbox.on_commit(lambda: heard.append("commit"))
    async with house.session() as session:
        async with session.begin_nested():
            house.outbox.add(session, mail())
        await session.flush()
        assert heard == []
        await session.commit()
        assert heard == ["commit"]
        house.outbox.add(session, mail())
        await session.rollback()
        assert heard == ["commit"]
        house.outbox.add(session, mail())
        await session.commit()
        take_off()
        house.outbox.add(session, mail())
        await session.commit()
    assert heard == ["commit", "commit"]


async def test_a_plain_session_adds_and_tells_the_listeners(house: OutboxHouse, database: str) -> None:
    heard: list[str] = []
    house.outbox.on_commit(lambda: heard.append("commit"))

    def add() -> None:
        engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
        with Session(engine) as session, session.begin():
            house.outbox.add(session, ReconcileStripe())
        engine.dispose()

    await asyncio.to_thread(add)
    assert [row["queue"] for row in await house.rows()] == ["maintenance"]
    assert heard == ["commit"]


def test_ids_made_one_after_another_are_in_order_or_of_the_same_instant() -> None:
    ids = [time_ordered_id() for _ in range(1000)]
    instants = [row_id.int >> 64 for row_id in ids]
    assert instants == sorted(instants)
    assert {row_id.version for row_id in ids} == {7}
    assert len(set(ids)) == len(ids)


@given(st.lists(st.integers(min_value=0, max_value=2**48 * 1_000_000 - 1), min_size=2))
def test_ids_sort_by_the_time_they_were_made(times: list[int]) -> None:
    instants = [time_ordered_id(now).int >> 64 for now in sorted(times)]
    assert all(earlier <= later for earlier, later in itertools.pairwise(instants))
