"""What the door looks at before it lets a job in: known kind, size, readable payload, its rules, options."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from google.protobuf.any_pb2 import Any as AnyMessage

from headrace.queue.arguments import is_instance
from headrace.queue.db.jsonb import encoded
from headrace.queue.enqueue.new_job import Limits, NewJob
from headrace.queue.enqueue.uniqueness import Unique
from headrace.queue.errors import (
    OptionInvalidError,
    PayloadInvalidError,
    PayloadTooLargeError,
    PayloadUnreadableError,
    VersionUnknownError,
    Violation,
)
from headrace.queue.kinds.kind import Kind, Kinds, name_of
from headrace.queue.kinds.kind import option_violations as kind_option_violations

MAX_KEY_LENGTH = 200
MAX_TAGS, MAX_TAG_LENGTH = 20, 100
MAX_METADATA = 16 * 1024
FARTHEST = timedelta(days=3660)
MILLISECOND = timedelta(milliseconds=1)


class ValidatedJob(NamedTuple):
    """A job that passed every check."""

    job: NewJob
    kind: Kind
    name: str
    """The name of the kind that it came under, which may be a former one: workers of the release before know it."""
    payload: bytes
    message: Any
    metadata: str | None
    """As JSON."""

    @property
    def queue(self) -> str:
        """Where it is to stand."""
        return self.job.queue or self.kind.queue

    @property
    def version(self) -> int:
        """The version of the kind that the payload was written in."""
        return self.job.version or self.kind.version

    @property
    def priority(self) -> int:
        """Its priority."""
        return self.kind.priority if self.job.priority is None else self.job.priority

    @property
    def max_retries(self) -> int:
        """Its retries."""
        return self.kind.max_retries if self.job.max_retries is None else self.job.max_retries

    @property
    def delay_ms(self) -> int | None:
        """How long it waits, where that was said and not until when; at least 0."""
        return None if self.job.run_after is None else max(self.job.run_after, timedelta(0)) // MILLISECOND

    @property
    def timeout_ms(self) -> int:
        """The timeout of an attempt."""
        return (self.job.timeout or self.kind.timeout) // MILLISECOND


def validate(job: NewJob, kinds: Kinds, limits: Limits) -> ValidatedJob:
    """The job with what was found out about it.

    Raises:
        EnqueueError: As one of its children, that says why.
        TypeError: It is no NewJob.
    """
    if not isinstance(job, NewJob):
        raise TypeError(f"a door takes a list of NewJob, and this is a {type(job).__qualname__}: NewJob(payload, …)")
    kind, name, payload = _read_payload(job.payload, kinds)
    if job.version is not None and is_instance(int, job.version) and job.version > kind.version:
        raise VersionUnknownError(name, job.version, kind.version)
    if len(payload) > limits.payload_bytes:
        raise PayloadTooLargeError(len(payload), limits.payload_bytes)
    metadata, violations = _options(job, kind)
    try:
        message = kind.codec.check(payload)
    except PayloadInvalidError as invalid:
        raise PayloadInvalidError(invalid.kind, invalid.violations, violations) from None
    if violations:
        raise OptionInvalidError(violations)
    return ValidatedJob(job, kind, name, payload, message, metadata)


def option_violations(job: NewJob, kind: Kind) -> list[Violation]:
    """All that is wrong with a job's options."""
    return _options(job, kind)[1]


def _options(job: NewJob, kind: Kind) -> tuple[str | None, list[Violation]]:
    metadata, violations = _metadata(job)
    violations += _option_violations(job, kind)
    return metadata, violations


def _read_payload(payload: Any, kinds: Kinds) -> tuple[Kind, str, bytes]:
    if isinstance(payload, AnyMessage):
        if "/" not in payload.type_url:
            raise PayloadUnreadableError("", f"its type URL {payload.type_url!r} isn't of the form host/full.Name")
        name = payload.TypeName()
        return kinds[name], name, payload.value
    kind = kinds.of(payload)
    return kind, name_of(type(payload)), kind.codec.encode(payload)


def _metadata(job: NewJob) -> tuple[str | None, list[Violation]]:
    if job.metadata is None:
        return None, []
    wanted = f"must be a JSON object of at most {MAX_METADATA} bytes"
    if not isinstance(job.metadata, Mapping):
        return None, [Violation("metadata", f"{wanted}, not a {type(job.metadata).__name__}")]
    try:
        return encoded(dict(job.metadata), what="it", limit=MAX_METADATA), []
    except (TypeError, ValueError) as error:
        return None, [Violation("metadata", f"{wanted}: {error}")]


def _option_violations(job: NewJob, kind: Kind) -> Iterator[Violation]:
    yield from kind_option_violations(
        queue=job.queue, priority=job.priority, max_retries=job.max_retries, timeout=job.timeout
    )
    if job.run_at is not None or job.run_after is not None:
        yield from _time_violations(job)
    yield from _text_violations(job)
    if job.version is not None and not (is_instance(int, job.version) and job.version >= 1):
        yield Violation("version", "must be at least 1")
    if job.unique is not None and not isinstance(job.unique, Unique):
        yield Violation("unique", f'must be a Unique, such as Unique(by=("order",)), not {job.unique!r}')
    elif job.unique is not None:
        yield from job.unique.violations(kind)
    yield from _tag_violations(job.tags)


def _time_violations(job: NewJob) -> Iterator[Violation]:
    if job.run_at is not None and not is_instance(datetime, job.run_at):
        yield Violation("run_at", f"must be a datetime with a time zone, not {job.run_at!r}")
    elif job.run_at is not None and job.run_at.tzinfo is None:
        yield Violation("run_at", "must have a time zone")
    elif job.run_at is not None and job.run_at > datetime.now(UTC) + FARTHEST:
        yield Violation("run_at", "must be at most ten years ahead")
    if job.run_after is not None and job.run_at is not None:
        yield Violation("run_after", "can't be given together with run_at")
    elif job.run_after is not None and not is_instance(timedelta, job.run_after):
        yield Violation("run_after", f"must be a timedelta, not {job.run_after!r}")
    elif job.run_after is not None and job.run_after > FARTHEST:
        yield Violation("run_after", "must be at most ten years")


def _text_violations(job: NewJob) -> Iterator[Violation]:
    for field, text in (("idempotency_key", job.key), ("caller", job.caller)):
        if not isinstance(text, str):
            yield Violation(field, f"must be text, empty for none; not {text!r}")
            continue
        if len(text) > MAX_KEY_LENGTH:
            yield Violation(field, f"must have at most {MAX_KEY_LENGTH} characters")
        if "\0" in text or not (text.isascii() or text.encode(errors="replace").decode() == text):
            yield Violation(field, "must be text without NUL and without halves of surrogate pairs")


def _tag_violations(tags: Collection[str]) -> Iterator[Violation]:
    if isinstance(tags, str) or not isinstance(tags, Collection):
        yield Violation("tags", "must be a list of words, not " + ("one word" if isinstance(tags, str) else repr(tags)))
        return
    if len(tags) > MAX_TAGS:
        yield Violation("tags", f"must be at most {MAX_TAGS}")
    for place, tag in enumerate(tags):
        if not (is_instance(str, tag) and 1 <= len(tag) <= MAX_TAG_LENGTH and tag.isprintable()):
            yield Violation(f"tags[{place}]", f"must have 1 to {MAX_TAG_LENGTH} printable characters")
