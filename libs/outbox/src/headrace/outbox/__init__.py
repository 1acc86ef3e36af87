"""A transactional outbox for a Headrace jobs service.

`Outbox` writes a job into the caller's own transaction, and `Relay` sends it after the commit. No job is lost, and the
idempotency key makes every retry the same job.
"""

from headrace.outbox.backoff import Backoff
from headrace.outbox.outbox import NotAJobKindError, Outbox, ParkedRow
from headrace.outbox.relay import Relay
from headrace.outbox.settings import RelaySettings

__all__ = ["Backoff", "NotAJobKindError", "Outbox", "ParkedRow", "Relay", "RelaySettings"]
