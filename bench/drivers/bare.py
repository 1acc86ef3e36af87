"""Drives the tables without the engine: its statements for claims and completions, each on a connection, and no more.

No job becomes a message, a task or an outcome here, so no engine on these tables can be faster.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from psycopg.rows import tuple_row

from bench.drivers import harness
from bench.drivers.headrace import Headrace
from headrace.queue.claiming.cursor import Cursor, Mark
from headrace.queue.claiming.rotation import BATCH
from headrace.queue.db.array_literals import numbers
from headrace.queue.db.connections import Connection, ReconnectingConnection
from headrace.queue.db.statements import statement
from saas.jobs.v1 import kinds_pb2

NAME = kinds_pb2.SendVerificationEmail.DESCRIPTOR.full_name
QUEUE = "email"


class Bare(Headrace):
    """Claims and completes by turns: while a batch is completed, the next one is claimed."""

    @asynccontextmanager
    async def working(self, began: Callable[[str], None]) -> AsyncIterator[None]:
        """Works off one queue, until there is nothing in it."""
        claims, outcomes = (
            ReconnectingConnection(self._dsn, purpose=role, schema="headrace") for role in ("claims", "outcomes")
        )
        async with asyncio.TaskGroup() as group:  # a failure ends who waits for the jobs
            group.create_task(self._run(claims, outcomes, began))
            yield
        await claims.close()
        await outcomes.close()

    async def _run(
        self, claims: ReconnectingConnection, outcomes: ReconnectingConnection, began: Callable[[str], None]
    ) -> None:
        who = {"name": "bare", "queues": [QUEUE], "kinds": [NAME], "versions": [1], "slots": BATCH, "enabled": True}
        [worker] = await outcomes.execute(statement("register_worker"), who)
        cursor = Cursor()
        number = 0
        async with claims.use() as claiming, outcomes.use() as completing:
            completion: asyncio.Task[Any] | None = None
            while True:
                number += 1
                params = {"worker_id": worker["id"], "claim_no": number, "queue": QUEUE}
                more = {"kinds": [NAME], "versions": [1], "limit": BATCH}
                rows = await _claim(claiming, cursor, {**cursor.params(), **params, **more})
                for _ in rows:
                    began("")
                if completion is not None:
                    await completion
                if not rows:
                    return
                completion = asyncio.create_task(_complete(completing, rows))


async def _claim(connection: Connection, cursor: Cursor, params: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
    async with connection.cursor(binary=True, row_factory=tuple_row) as answer:
        await answer.execute(statement("claim"), params, prepare=True)
        [(text, *_), *rows] = await answer.fetchall()
    mark = Mark.parse(json.loads(text))
    assert mark is not None
    cursor.advance(mark)
    return rows


async def _complete(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    ids, leases = numbers(row[1] for row in rows), numbers(row[2] for row in rows)
    await connection.execute(statement("complete"), {"ids": ids, "leases": leases}, prepare=True)


if __name__ == "__main__":
    harness.main(Bare, uvloop.run)
