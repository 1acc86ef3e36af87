"""A transactional outbox that hands jobs to a Headrace jobs service.

`Outbox` writes a job into the caller's own transaction, `Relay` hands it over after the commit: nothing is lost,
and the idempotency key makes every repetition the same job.
"""

from headrace.outbox.backoff import Backoff
from headrace.outbox.outbox import NotAJobKindError, Outbox, ParkedRow
from headrace.outbox.relay import Relay
from headrace.outbox.settings import RelaySettings

__all__ = ["Backoff", "NotAJobKindError", "Outbox", "ParkedRow", "Relay", "RelaySettings"]
