"""A worker's settings."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from headrace.queue.arguments import require_type
from headrace.queue.retention import Retention

MAX_NAME_LENGTH = 200


def process_name() -> str:
    """A name for this process that operators can find it by: host, pid, and a little chance."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker runs.

    Args:
        slots: How many jobs run at once.
        queue_slots: At most so many of the slots for a queue; a queue that isn't named may use all, one with 0 rests.
        enabled: False keeps the worker idle: it does the upkeep, but claims nothing.
        poll_interval: How often the line is looked at where no notification comes.
        drain_timeout: How long running jobs may go on after `stop`; then they are handed back.
        listen: Whether to be woken by notifications. Behind a pooler in transaction mode, such as PgBouncer, that isn't
            possible: with False the worker polls, and keeps nothing in its database sessions, at the price of having
            each statement planned anew.
        max_deaths: At how many worker deaths a job that was in flight is quarantined.
        retention: How long finished jobs are kept.
        audit_retention: How long records of administrative acts are kept; a day at least.
        name: Shown to operators.

    Raises:
        ValueError: A value is out of range; the text names it.
        TypeError: A value is of another type; the text names it.
    """

    slots: int = 10
    queue_slots: Mapping[str, int] = field(default_factory=dict)
    enabled: bool = True
    poll_interval: timedelta = timedelta(seconds=1)
    drain_timeout: timedelta = timedelta(seconds=25)
    listen: bool = True
    max_deaths: int = 3
    retention: Retention = field(default_factory=Retention)
    audit_retention: timedelta = timedelta(days=730)
    name: str = field(default_factory=process_name)

    def __post_init__(self) -> None:
        """Refuses values that make no sense."""
        where = "worker settings"
        require_type(where, int, slots=self.slots, max_deaths=self.max_deaths)
        require_type(where, timedelta, poll_interval=self.poll_interval, drain_timeout=self.drain_timeout)
        require_type(where, bool, enabled=self.enabled, listen=self.listen)
        require_type(where, Mapping, queue_slots=self.queue_slots)
        require_type(where, int, **{f"queue_slots[{queue!r}]": slots for queue, slots in self.queue_slots.items()})
        require_type(where, Retention, retention=self.retention)
        require_type(where, str, name=self.name)
        if not (1 <= len(self.name) <= MAX_NAME_LENGTH and self.name.isprintable()):
            raise ValueError(f"worker settings: a name has 1 to {MAX_NAME_LENGTH} printable characters")
        if self.slots < 1 or self.max_deaths < 1:
            raise ValueError("worker settings: slots and max_deaths must be at least 1")
        if negative := sorted(queue for queue, slots in self.queue_slots.items() if slots < 0):
            raise ValueError(f"worker settings: queue_slots of {', '.join(negative)} must be at least 0")
        if self.poll_interval <= timedelta(0) or self.drain_timeout < timedelta(0):
            raise ValueError("worker settings: poll_interval must be above 0, and drain_timeout at least 0")
        if self.audit_retention < timedelta(days=1):
            raise ValueError("worker settings: audit_retention must be at least a day")
