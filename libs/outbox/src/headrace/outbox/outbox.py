"""Writes a job into the caller's own transaction.

The job is sent if and only if that transaction commits. A Relay sends it; the commit wakes the relay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy import MetaData, event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, registry

from headrace.jobs.v1 import options_pb2
from headrace.outbox import statements
from headrace.outbox.ids import time_ordered_id
from headrace.outbox.table import define_table
from headrace.outbox.tracing import create_span

_JOB: Any = options_pb2.job  # protoc's type stub gives an extension no usable type
_DEFAULT_QUEUE = "default"  # for a kind whose options name no queue, as the contract defines
_LONGEST_KEY = 200  # the contract's limit, in characters


class NotAJobKindError(TypeError):
    """The message isn't marked as a job kind.

    Attributes:
        kind: The message's full name.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(
            f"{kind} is not a job kind: set `option (headrace.jobs.v1.job) = {{…}}` on the message in its .proto file"
        )


@dataclass(frozen=True)
class ParkedRow:
    """A row that was set aside because retrying it automatically would not help."""

    id: UUID
    kind: str
    idempotency_key: str
    created_at: datetime
    parked_at: datetime
    attempts: int
    last_error: str


class Outbox:
    """An outbox table on the caller's metadata.

    Args:
        metadata: The caller's metadata; the caller's migrations create the table.
        name: The table's name.

    Attributes:
        table: The SQLAlchemy table.
    """

    def __init__(self, metadata: MetaData, name: str = "outbox") -> None:
        self.table = define_table(metadata, name)
        # Rows go through the session's unit of work: it serves Session and AsyncSession alike, without I/O here.
        self._row: type[Any] = type("OutboxRow", (), {})
        registry(metadata=metadata).map_imperatively(self._row, self.table, eager_defaults=False)
        self._committed_key = f"headrace.outbox:{name}"
        self._listeners: list[Callable[[], None]] = []

    def add(self, session: Session | AsyncSession, message: Message, *, key: str | None = None) -> UUID:
        """Adds a job to the session's transaction; the relay sends it after the commit.

        Args:
            session: The caller's session. The row is written with its next flush.
            message: The payload, of a message marked as a job kind.
            key: The idempotency key, 1 to 200 characters: for 7 days, rows of the same kind and key
                become one job. By default the row's id.

        Returns:
            The row's id, ordered by time.

        Raises:
            NotAJobKindError: The message isn't marked as a job kind.
            ValueError: The key is empty or too long.
        """
        row_id = time_ordered_id()
        key = str(row_id) if key is None else key
        if not 0 < len(key) <= _LONGEST_KEY:
            raise ValueError(f"an idempotency key has 1 to {_LONGEST_KEY} characters; this one has {len(key)}: {key!r}")
        options = _options_of(message)
        kind, queue = message.DESCRIPTOR.full_name, str(options.queue) or _DEFAULT_QUEUE
        payload = message.SerializeToString(deterministic=True)
        with create_span(kind=kind, queue=queue, key=key) as headers:
            row = self._row(
                id=row_id,
                kind=kind,
                queue=queue,
                version=options.version or 1,
                payload=payload,
                idempotency_key=key,
                traceparent=headers.get("traceparent"),
                tracestate=headers.get("tracestate"),
                baggage=headers.get("baggage"),
            )
        unit = session.sync_session if isinstance(session, AsyncSession) else session
        unit.add(row)
        self._watch(unit)
        return row_id

    def on_commit(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Registers a callback for every commit that added rows, called in the committing thread.

        Returns:
            A function that removes the callback.
        """
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    async def parked(self, session: AsyncSession, *, limit: int = 100) -> list[ParkedRow]:
        """Lists parked rows, oldest first."""
        result = await session.execute(statements.list_parked(self.table, limit))
        return [ParkedRow(**row) for row in result.mappings()]

    async def retry_parked(self, session: AsyncSession, ids: Sequence[UUID] | None = None) -> list[UUID]:
        """Retries parked rows, in the session's transaction.

        A row that was parked for its age may be older than its idempotency key lives. Look for its job before you
        retry it.

        Args:
            session: The caller's session; it commits.
            ids: Which rows; by default all parked rows.

        Returns:
            The ids of the rows that will be retried.
        """
        result = await session.execute(statements.retry_parked(self.table, ids))
        self._watch(session.sync_session)
        return sorted(result.scalars())

    def _watch(self, session: Session) -> None:
        if not event.contains(session, "after_commit", self._after_commit):
            event.listen(session, "after_commit", self._after_commit)
        session.info[self._committed_key] = True

    def _after_commit(self, session: Session) -> None:
        # Also called when a savepoint is released, when other connections can't see the rows yet.
        if session.in_nested_transaction() or not session.info.pop(self._committed_key, False):
            return
        for callback in tuple(self._listeners):
            callback()


def _options_of(message: Message) -> options_pb2.JobOptions:
    options = message.DESCRIPTOR.GetOptions()
    if not options.HasExtension(_JOB):
        raise NotAJobKindError(message.DESCRIPTOR.full_name)
    job: options_pb2.JobOptions = options.Extensions[_JOB]
    return job
