"""What can be set about a relay, with defaults that suit production."""

import os
import socket
from dataclasses import dataclass, field
from datetime import timedelta

from headrace.outbox.backoff import Backoff

_ROW_BACKOFF = Backoff(base=timedelta(seconds=1), factor=2, cap=timedelta(minutes=1))
# Short at its longest: one call every few seconds costs an ailing service nothing, and mails follow soon after.
_OUTAGE_BACKOFF = Backoff(base=timedelta(milliseconds=500), factor=2, cap=timedelta(seconds=5))


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """Settings of one relay.

    Attributes:
        batch: At most so many rows per call; the jobs service's limit is 1,000 unless it is set otherwise.
        batch_bytes: At most so many bytes of payload per call (a single larger row goes alone): one call stays
            below gRPC's usual limit of 4 MiB, with room for keys and trace contexts.
        lease: How long a row is kept from other relays. A relay that died in the middle leaves its rows for
            so long.
        poll: How often to look for due rows without being woken.
        call_timeout: The deadline of one call to the jobs service.
        database_timeout: How long one transaction on the outbox may take before it is given up.
        row_backoff: Pauses of a row that the service refused for now.
        outage_backoff: Pauses of the whole relay while the service or the database is away.
        park_after: A row of this age is parked instead of sent. Less than the 7 days for which the jobs service
            remembers idempotency keys, so that no sending can make a second job.
        retention: How long sent rows are kept.
        clean_every: How often sent rows past their retention are removed.
        clean_batch: How many of them one transaction removes.
        name: Names the relay in `leased_by`.
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
                "an answer has to be recorded while the row is still held"
            )
