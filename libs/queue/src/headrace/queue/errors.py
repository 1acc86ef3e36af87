"""The engine's errors, with the data that a caller needs.

`EnqueueError` and its children say why a job was not accepted; in a batch they are returned per item, not raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.queue.job import Job


@dataclass(frozen=True)
class Violation:
    """One rule that one field breaks."""

    field: str
    """The field's path, for example "address.lines[2]"; empty for a rule about the whole message."""
    description: str
    """What is wrong, as the end of a sentence: "must be a valid UUID"."""
    rule: str = ""
    """The rule's id, for example "string.uuid"."""


class QueueError(Exception):
    """The base class of the engine's errors."""


class EnqueueError(QueueError):
    """A job was not accepted; nothing of it is kept."""


class KindUnknownError(EnqueueError):
    """No kind of that name is registered here."""

    def __init__(self, kind: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown job kind {kind!r}; known are: {', '.join(known) or 'none'}")
        self.kind = kind
        self.known = tuple(known)


class VersionUnknownError(EnqueueError):
    """The payload has a later version of its kind than is known here, so its rules are unknown too."""

    def __init__(self, kind: str, version: int, known: int) -> None:
        super().__init__(f"version {version} of {kind} is not known here, only versions up to {known}")
        self.kind = kind
        self.version = version
        self.known = known


class PayloadUnreadableError(EnqueueError):
    """The payload's bytes are not a message of its kind."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"the payload can't be read as {kind or 'a job kind'}: {reason}")
        self.kind = kind
        self.reason = reason


class PayloadInvalidError(EnqueueError):
    """The payload breaks rules of its .proto file. All of them are named, and all that is wrong with the options."""

    def __init__(self, kind: str, violations: Sequence[Violation], options: Sequence[Violation] = ()) -> None:
        listed = "; ".join(f"{v.field or 'message'} {v.description}" for v in (*violations, *options))
        super().__init__(f"the payload of {kind} is invalid: {listed}")
        self.kind = kind
        self.violations = tuple(violations)
        self.options = tuple(options)


class PayloadTooLargeError(EnqueueError):
    """The payload is over the size limit."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the payload has {size} bytes; the limit is {limit}. Keep content elsewhere and send its id")
        self.size = size
        self.limit = limit


class OptionInvalidError(EnqueueError):
    """Options of the call are out of range; all of them are named."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{v.field} {v.description}" for v in violations))
        self.violations = tuple(violations)


class KeyReusedError(EnqueueError):
    """The idempotency key was used before, for a job with another payload."""

    def __init__(self, key: str, job_id: int) -> None:
        super().__init__(
            f"the idempotency key {key!r} was used before, for job {job_id} with another payload: "
            "use a new key for a new job"
        )
        self.key = key
        self.job_id = job_id


class BatchRejectedError(EnqueueError):
    """Some jobs of a batch are rejected, so none of them is enqueued."""

    def __init__(self, size: int, errors: Mapping[int, EnqueueError]) -> None:
        listed = "\n".join(f"  jobs[{index}]: {error}" for index, error in errors.items())
        super().__init__(f"{len(errors)} of {size} jobs are rejected, so none is enqueued:\n{listed}")
        self.errors = dict(errors)
        """What is wrong with each rejected job, by its index in the batch."""


class BatchTooLargeError(QueueError):
    """A batch has more jobs than the limit. None of them was enqueued."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the batch has {size} jobs; the limit is {limit}. Send it in parts")
        self.size = size
        self.limit = limit


class JobNotFoundError(QueueError):
    """There is no job with that id, or it was deleted."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class JobNotActionableError(QueueError):
    """The job can't be changed that way in its state."""

    def __init__(self, job: Job, reason: str, text: str) -> None:
        super().__init__(text)
        self.job = job
        self.reason = reason
        """JOB_FINISHED, JOB_RUNNING or JOB_COMPLETED."""


class LeaseLostError(QueueError):
    """An attempt tried to complete its job, but no longer counts: the job was rescued, or the attempt is over.

    The transaction is aborted, so that its effects can't be committed.
    """

    def __init__(self, job_id: int, lease: int) -> None:
        super().__init__(f"lease {lease} of job {job_id} is lost: this attempt no longer counts")
        self.job_id = job_id
        self.lease = lease


class PeriodicNotFoundError(QueueError):
    """There is no periodic job of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no periodic job {name!r}")
        self.name = name


class PeriodicInvalidError(QueueError, ValueError):
    """The definition of a periodic job is invalid."""

    def __init__(self, name: str, field: str, reason: str) -> None:
        super().__init__(f"periodic job {name!r}: {reason}")
        self.name = name
        self.field = field
        """The argument of Periodic that is invalid."""
        self.reason = reason


class PeriodicExistsError(QueueError):
    """There is a periodic job of that name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a periodic job {name!r} already: update it, or choose another name")
        self.name = name


class DatabaseUnavailableError(QueueError):
    """Postgres is unreachable, or did not respond in time. Whether a statement was committed is unknown."""


class SchemaOutdatedError(QueueError):
    """The database lacks migrations that this version needs."""

    def __init__(self, schema: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"schema {schema!r} lacks {len(missing)} migrations ({', '.join(missing)}): run `headrace migrate up`"
        )
        self.missing = tuple(missing)
