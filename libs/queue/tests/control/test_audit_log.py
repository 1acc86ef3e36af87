"""Administrative acts are recorded with the act, or not at all, and found again."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from headrace.queue.control.audit_log import DETAIL_BYTES, list_audit_entries_async, record_audit_entry_async
from headrace.queue.db.migrate import up


@pytest.fixture
async def connection(database: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    up(database)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as opened:
        yield opened


async def test_an_act_says_who_did_what_to_what_and_how(connection: psycopg.AsyncConnection[Any]) -> None:
    recorded = await record_audit_entry_async(
        connection, actor="ops", action="CancelJobs", subject="filter", details={"kinds": ["a.B"]}, jobs=3
    )
    [act] = await list_audit_entries_async(connection)
    assert (act.id, act.actor, act.action, act.subject) == (recorded, "ops", "CancelJobs", "filter")
    assert (act.details, act.jobs) == ({"kinds": ["a.B"]}, 3)
    assert act.at.tzinfo is not None


async def test_an_act_that_is_rolled_back_leaves_no_record(connection: psycopg.AsyncConnection[Any]) -> None:
    async with connection.transaction(force_rollback=True):
        await record_audit_entry_async(connection, actor="ops", action="PauseAll", subject="all")
    assert await list_audit_entries_async(connection) == []


async def test_acts_are_listed_newest_first_page_by_page_by_actor_and_subject(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    for number in range(6):
        await record_audit_entry_async(
            connection, actor=f"ops-{number % 2}", action="CancelJob", subject=f"job:{number % 3}", jobs=number
        )
    first = await list_audit_entries_async(connection, limit=4)
    rest = await list_audit_entries_async(connection, limit=4, before_id=first[-1].id)
    assert [act.jobs for act in (*first, *rest)] == [5, 4, 3, 2, 1, 0]
    assert [act.jobs for act in await list_audit_entries_async(connection, actor="ops-1")] == [5, 3, 1]
    assert [act.jobs for act in await list_audit_entries_async(connection, subject="job:2")] == [5, 2]
    assert [act.jobs for act in await list_audit_entries_async(connection, actor="ops-1", subject="job:2")] == [5]


@pytest.mark.parametrize("details", [{"names": ["x" * DETAIL_BYTES]}, {"name": "a\0b"}, {"name": "\ud800"}])
async def test_details_that_cannot_be_kept_do_not_stop_the_act(
    connection: psycopg.AsyncConnection[Any], details: dict[str, Any]
) -> None:
    await record_audit_entry_async(connection, actor="ops", action="PauseKind", subject="kind:a.B", details=details)
    [act] = await list_audit_entries_async(connection)
    assert set(act.details) == {"left_out"}
