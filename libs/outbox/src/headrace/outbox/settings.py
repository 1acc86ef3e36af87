"""Settings of a relay, with defaults for production."""

import os
import socket
from dataclasses import dataclass, field
from datetime import timedelta

from headrace.outbox.backoff import Backoff

_ROW_BACKOFF = Backoff(base=timedelta(seconds=1), factor=2, cap=timedelta(minutes=1))
# The longest pause is short: one call every few seconds costs a struggling service nothing, and emails go out soon
# after.
_OUTAGE_BACKOFF = Backoff(base=timedelta(milliseconds=500), factor=2, cap=timedelta(seconds=5))


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """Settings of one relay.

    Attributes:
        batch: At most this many rows per call; the jobs service's default limit is 1,000.
        batch_bytes: At most this many bytes of payload per call; a single larger row is sent alone. A call stays
            below gRPC's usual limit of 4 MiB, with room for keys and trace contexts.
        lease: How long a row is kept from other relays. If a relay dies, its rows wait this long.
        poll: How often to look for due rows without being woken.
        call_timeout: The deadline of one call to the jobs service.
        database_timeout: How long one transaction on the outbox may take.
        row_backoff: Pauses of a row that the service rejected for now.
        outage_backoff: Pauses of the whole relay while the service or the database is unavailable.
        park_after: A row of this age is parked instead of sent. Less than the 7 days for which the jobs service
            keeps idempotency keys, so that sending it can't create a second job.
        retention: How long sent rows are kept.
        clean_every: How often sent rows past their retention are deleted.
        clean_batch: How many of them one transaction deletes.
        name: The relay's name in `leased_by`.
    """

    batch: int = 100
    batch_bytes: int = 2 * 1024 * 1024
    lease: timedelta = timedelta(seconds=30)
    poll: timedelta = timedelta(seconds=1)
    call_timeout: timedelta = timedelta(seconds=10)
    database_timeout: timedelta = timedelta(seconds=10)
    row_backoff: Backoff = _ROW_BACKOFF
    outage_backoff: Backoff = _OUTAGE_BACKOFF
    park_after: timedelta = timedelta(days=6)
    retention: timedelta = timedelta(days=7)
    clean_every: timedelta = timedelta(minutes=10)
    clean_batch: int = 500
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")

    def __post_init__(self) -> None:
        for number in ("batch", "batch_bytes", "clean_batch"):
            if getattr(self, number) < 1:
                raise ValueError(f"RelaySettings.{number} must be 1 or more; given: {getattr(self, number)}")
        for length in ("lease", "poll", "call_timeout", "database_timeout", "park_after", "clean_every"):
            if getattr(self, length) <= timedelta(0):
                raise ValueError(f"RelaySettings.{length} must be longer than 0; given: {getattr(self, length)}")
        if self.call_timeout >= self.lease:
            raise ValueError(
                f"RelaySettings.call_timeout ({self.call_timeout}) must be shorter than the lease ({self.lease}): "
                "the result must be recorded while the relay still holds the row"
            )
