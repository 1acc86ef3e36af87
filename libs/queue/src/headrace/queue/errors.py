"""Everything that the engine refuses, as classes with the data that a caller needs.

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
    """What is wrong, as a sentence's end: "must be a valid UUID"."""
    rule: str = ""
    """The rule's id, for example "string.uuid"."""


class QueueError(Exception):
    """The parent of all errors of the engine."""


class EnqueueError(QueueError):
    """A job was not accepted; nothing of it is kept."""


class KindUnknownError(EnqueueError):
    """No kind of that name is registered here."""

    def __init__(self, kind: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown job kind {kind!r}; known are: {', '.join(known) or 'none'}")
        self.kind = kind
        self.known = tuple(known)


class VersionUnknownError(EnqueueError):
    """The payload was written in a later version of its kind than is known here, so its rules are not known either."""

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
    """The idempotency key stands for a job with another payload."""

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
    """A batch has more items than the limit; nothing of it was accepted."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the batch has {size} jobs; the limit is {limit}. Send it in parts")
        self.size = size
        self.limit = limit


class JobNotFoundError(QueueError):
    """There is no job of that id, or no longer."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class JobNotActionableError(QueueError):
    """The job's state doesn't allow what was asked."""

    def __init__(self, job: Job, reason: str, text: str) -> None:
        super().__init__(text)
        self.job = job
        self.reason = reason
        """JOB_FINISHED, JOB_RUNNING or JOB_COMPLETED."""


class LeaseLostError(QueueError):
    """An attempt wanted to complete its job, but no longer counts: it was rescued, or it is over already.

    The transaction in which it was tried is broken, so that its effects can't be committed.
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
    """A periodic job's definition makes no sense."""

    def __init__(self, name: str, field: str, reason: str) -> None:
        super().__init__(f"periodic job {name!r}: {reason}")
        self.name = name
        self.field = field
        """The argument of Periodic that is wrong."""
        self.reason = reason


class PeriodicExistsError(QueueError):
    """There is a periodic job of that name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a periodic job {name!r} already: update it, or take another name")
        self.name = name


class DatabaseUnavailableError(QueueError):
    """Postgres can't be reached, or did not answer in time. What was asked may or may not have happened."""


class SchemaOutdatedError(QueueError):
    """The database lacks migrations that this version needs."""

    def __init__(self, schema: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"schema {schema!r} lacks {len(missing)} migrations ({', '.join(missing)}): run `headrace migrate up`"
        )
        self.missing = tuple(missing)
