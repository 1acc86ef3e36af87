"""What is asked for: a job to enqueue, with what its caller says instead of the kind's own options."""

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
    """Makes an idempotency key that nobody else has."""
    return str(uuid4())


@dataclass(frozen=True)
class Unique:
    """Which job of the same kind makes a new one a duplicate: one that is equal in these fields, and counts.

    Args:
        fields: The fields of the payload that must be equal; none: all of them.
        period: How long a job counts after it was accepted; None: as long as its state does.
        by_queue: Whether jobs of different queues are different.
        states: The states in which a job counts. None: until it has ended, and with a period, completed ones, too.
    """

    fields: Sequence[str] = ()
    period: timedelta | None = None
    by_queue: bool = False
    states: Sequence[job_pb2.JobState] = ()

    def message(self) -> jobs_service_pb2.Unique:
        """The same, as the contract has it."""
        return jobs_service_pb2.Unique(
            fields=self.fields, period=self.period, by_queue=self.by_queue, states=self.states
        )


@dataclass(frozen=True)
class NewJob:
    """A job to enqueue. What is None comes from its kind.

    Args:
        payload: A message that is a kind of the service's, or an Any that holds one.
        key: The idempotency key: the same caller, kind and key stand for one job for 7 days. One is made unless it is
            given, so that the client's own repeats are safe; give one where you may ask twice. Empty: none at all.
        queue: Instead of the kind's own.
        priority: 1 (first) to 4 (last).
        max_retries: 0 means a single attempt.
        timeout: Of one attempt; up to 24 hours.
        run_at: When it may run, with a time zone. None, or a time that has passed, means now.
        unique: Which other jobs it must not be beside.
        tags: Up to 20 words to find it by.
        metadata: What else is to be kept with it: up to 16 KiB of JSON.
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
        """The same, as the contract has it.

        Raises:
            ValueError: `run_at` has no time zone.
        """
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ValueError(f"run_at: {self.run_at.isoformat()} has no time zone; use datetime.now(UTC) and the like")
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
        """What the message's own .proto file says; an Any says nothing, and so does what is no kind."""
        extension: Any = options_pb2.job
        options = self.payload.DESCRIPTOR.GetOptions()
        if not options.HasExtension(extension):
            return 0
        return int(options.Extensions[extension].version) or 1


class Options(TypedDict, total=False):
    """What a job's caller may say of it; see NewJob."""

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
    """A job was accepted, now or before: it is committed, and will run at least once."""

    job_id: str
    key: str
    """The idempotency key that it was enqueued with."""
    duplicate: bool
    """Whether the job was there before."""
    duplicate_by: jobs_service_pb2.DuplicateBy
    """What made it a duplicate: its key, or another job that holds its uniqueness."""
