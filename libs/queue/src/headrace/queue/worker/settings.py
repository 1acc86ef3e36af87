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
    """Returns a name that identifies this process to operators: host, process id, and a random suffix."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker runs.

    Args:
        slots: How many jobs run at once.
        queue_slots: How many of the slots a queue may use at most. A queue that isn't named may use all of them; with 0
            the worker doesn't claim from it.
        enabled: With False, the worker claims nothing, but takes part in maintenance.
        poll_interval: How often every queue is claimed from without a notification.
        drain_timeout: How long running jobs may continue after `stop` before they are released.
        listen: Whether the worker listens for notifications. It can't behind a pooler in transaction mode, such as
            PgBouncer. With False, it polls, and keeps no state in its database sessions; Postgres then plans each
            statement again.
        max_deaths: After how many worker deaths a job that was running is quarantined.
        retention: How long finished jobs are kept.
        audit_retention: How long audit entries are kept; at least a day.
        name: Shown to operators.

    Raises:
        ValueError: A value is out of range; the text names it.
        TypeError: A value has the wrong type; the text names it.
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
        """Rejects values of a wrong type or out of range."""
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
