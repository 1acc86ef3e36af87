"""A job to enqueue, with the caller's values for its kind's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypedDict
from uuid import uuid4

from google.protobuf import any_pb2
from google.protobuf.message import Message

from headrace.jobs.v1 import job_pb2, jobs_service_pb2, options_pb2


def new_key() -> str:
    """Returns a new, random idempotency key."""
    return str(uuid4())


@dataclass(frozen=True)
class Unique:
    """Which job of the same kind makes a new one a duplicate: one that has the same values in these fields, and counts.

    Args:
        fields: The fields of the payload that must be equal; empty: all of them.
        period: How long a job counts after it was enqueued; None: as long as it is in one of the states.
        by_queue: Whether jobs in different queues are never duplicates.
        states: The states in which a job counts. Empty: all states before a final one and, with a period, completed
            too.
    """

    fields: Sequence[str] = ()
    period: timedelta | None = None
    by_queue: bool = False
    states: Sequence[job_pb2.JobState] = ()

    def message(self) -> jobs_service_pb2.Unique:
        """Returns the contract's message."""
        return jobs_service_pb2.Unique(
            fields=self.fields, period=self.period, by_queue=self.by_queue, states=self.states
        )


@dataclass(frozen=True)
class NewJob:
    """A job to enqueue. A value of None means the kind's own.

    Args:
        payload: A message that the service knows as a kind, or an Any that holds one.
        key: The idempotency key: for 7 days, the same caller, kind and key identify one job. The default is random,
            which makes the client's own retries safe. Pass one if you may enqueue the job twice. Empty: no key.
        queue: The queue.
        priority: 1 (first) to 4 (last).
        max_retries: 0 means a single attempt.
        timeout: How long one attempt may take; up to 24 hours.
        run_at: When it may run, with a time zone. None, or a time that has passed, means now.
        unique: Which other jobs must not coexist with it.
        tags: Up to 20 tags to find it by.
        metadata: Data to store with it: up to 16 KiB of JSON.
    """

    payload: Message
    key: str = field(default_factory=new_key)
    queue: str | None = None
    priority: int | None = None
    max_retries: int | None = None
    timeout: timedelta | None = None
    run_at: datetime | None = None
    unique: Unique | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None

    def message(self, trace: jobs_service_pb2.TraceContext | None = None) -> jobs_service_pb2.EnqueueRequest:
        """Returns the contract's message.

        Raises:
            ValueError: `run_at` has no time zone.
        """
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ValueError(f"run_at: {self.run_at.isoformat()} has no time zone; use datetime.now(UTC), for example")
        return jobs_service_pb2.EnqueueRequest(
            payload=self._packed(),
            idempotency_key=self.key,
            queue=self.queue,
            priority=self.priority,
            max_retries=self.max_retries,
            timeout=self.timeout,
            run_at=self.run_at,
            trace_context=trace,
            unique=self.unique.message() if self.unique else None,
            tags=self.tags,
            metadata=dict(self.metadata) if self.metadata is not None else None,
            version=self._version(),
        )

    def _packed(self) -> any_pb2.Any:
        if isinstance(self.payload, any_pb2.Any):
            return self.payload
        packed = any_pb2.Any()
        packed.Pack(self.payload, deterministic=True)
        return packed

    def _version(self) -> int:
        """Returns the version in the message's .proto file; 0 for an Any, and for a message that isn't a kind."""
        extension: Any = options_pb2.job
        options = self.payload.DESCRIPTOR.GetOptions()
        if not options.HasExtension(extension):
            return 0
        return int(options.Extensions[extension].version) or 1


class Options(TypedDict, total=False):
    """The options of a new job; see NewJob."""

    key: str
    queue: str | None
    priority: int | None
    max_retries: int | None
    timeout: timedelta | None
    run_at: datetime | None
    unique: Unique | None
    tags: Sequence[str]
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True)
class Enqueued:
    """An accepted job: it is committed, and will run at least once."""

    job_id: str
    key: str
    """The idempotency key it was enqueued with."""
    duplicate: bool
    """Whether the job existed already."""
    duplicate_by: jobs_service_pb2.DuplicateBy
    """What made it a duplicate: its key, or another job with the same uniqueness."""
