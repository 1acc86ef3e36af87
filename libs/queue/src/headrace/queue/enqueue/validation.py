"""Validates jobs on enqueue: known kind, size, decodable payload, the payload's rules, options, metadata.

A job is validated once, and all that is wrong with it is reported together. What a job leaves at its default is not
checked again: its kind's values were checked when the kind was made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from headrace.queue.arguments import is_instance
from headrace.queue.db.jsonb import encoded
from headrace.queue.enqueue.new_job import Limits, NewJob
from headrace.queue.enqueue.uniqueness import Unique
from headrace.queue.errors import (
    EnqueueError,
    OptionInvalidError,
    PayloadInvalidError,
    PayloadTooLargeError,
    PayloadUnreadableError,
    VersionUnknownError,
    Violation,
)
from headrace.queue.kinds.kind import Kind, Kinds, name_of, option_violations
from headrace.queue.kinds.message_class import is_any
from headrace.queue.value_class import value_class

MAX_KEY_LENGTH = 200
MAX_TAGS, MAX_TAG_LENGTH = 20, 100
MAX_METADATA = 16 * 1024
FARTHEST = timedelta(days=3660)
MILLISECOND = timedelta(milliseconds=1)


class RowOptions(NamedTuple):
    """The values of a job's row that come from its call, or else from its kind. Many jobs share one."""

    queue: str
    kind: str
    """The name that the job was enqueued under. It may be a former one, which workers of the previous release know."""
    version: int
    priority: int
    max_retries: int
    timeout_ms: int


@value_class
class ValidatedJob:
    """A job that passed every check."""

    job: NewJob
    kind: Kind
    options: RowOptions
    payload: bytes
    message: Any
    """The payload, decoded."""
    metadata: str | None
    """As JSON."""

    @property
    def queue(self) -> str:
        """The queue that it will be in."""
        return self.options.queue

    @property
    def delay_ms(self) -> int | None:
        """How long it waits, at least 0; None if its call sets no delay."""
        return None if self.job.run_after is None else max(self.job.run_after, timedelta(0)) // MILLISECOND


class _Known(NamedTuple):
    """A name of a kind, with what jobs have that were enqueued under it and leave their options open."""

    kind: Kind
    options: RowOptions


class Validator:
    """Validates jobs of the given kinds.

    Args:
        kinds: The kinds.
        limits: How large payloads may be.
    """

    def __init__(self, kinds: Kinds, limits: Limits) -> None:
        self._kinds = kinds
        self._limits = limits
        # Filled as jobs come: kinds can be added at any time.
        self._by_name: dict[str, _Known] = {}
        self._by_class: dict[type[Any], _Known] = {}

    def validate(self, job: NewJob) -> ValidatedJob | EnqueueError:
        """Returns the job with what enqueueing it needs, or the error that lists everything that is wrong with it.

        Raises:
            TypeError: It is not a NewJob.
        """
        if not isinstance(job, NewJob):
            raise TypeError(f"enqueue takes NewJob(payload, …), and this is a {type(job).__qualname__}")
        try:
            known, payload = self._encode(job.payload)
        except EnqueueError as error:
            return error
        kind = known.kind
        if job.version is not None and is_instance(int, job.version) and job.version > kind.version:
            return VersionUnknownError(known.options.kind, job.version, kind.version)
        if len(payload) > self._limits.payload_bytes:
            return PayloadTooLargeError(len(payload), self._limits.payload_bytes)
        violations: list[Violation] = []
        options = _options(job, known, violations)
        metadata = None if job.metadata is None else _metadata(job.metadata, violations)
        try:
            message = kind.codec.check(payload)
        except PayloadInvalidError as invalid:
            return PayloadInvalidError(invalid.kind, invalid.violations, violations)
        except PayloadUnreadableError as error:
            return error
        if violations:
            return OptionInvalidError(violations)
        return ValidatedJob(job, kind, options, payload, message, metadata)

    def _encode(self, payload: Any) -> tuple[_Known, bytes]:
        known = self._by_class.get(type(payload))
        if known is None:
            if is_any(payload):
                if "/" not in payload.type_url:
                    raise PayloadUnreadableError(
                        "", f"its type URL {payload.type_url!r} isn't of the form host/full.Name"
                    )
                return self._named(payload.TypeName()), payload.value
            known = self._by_class[type(payload)] = self._named(name_of(type(payload)))
        return known, known.kind.codec.encode(payload)

    def _named(self, name: str) -> _Known:
        known = self._by_name.get(name)
        if known is None:
            kind = self._kinds[name]
            known = self._by_name[name] = _Known(kind, _defaults(kind, name))
        return known


def _defaults(kind: Kind, name: str) -> RowOptions:
    return RowOptions(kind.queue, name, kind.version, kind.priority, kind.max_retries, kind.timeout // MILLISECOND)


def _options(job: NewJob, known: _Known, violations: list[Violation]) -> RowOptions:
    """Returns the options of a job, and adds what is wrong with them to `violations`."""
    if job.run_at is not None or job.run_after is not None:
        violations += _time_violations(job)
    if job.key != "" or job.caller != "":
        violations += _text_violations(job)
    if job.unique is not None:
        violations += _unique_violations(job.unique, known.kind)
    if job.tags != ():
        violations += _tag_violations(job.tags)
    queue, priority, max_retries, timeout, version = job.queue, job.priority, job.max_retries, job.timeout, job.version
    defaults = known.options
    if queue is None and priority is None and max_retries is None and timeout is None and version is None:
        return defaults
    found = [*option_violations(queue=queue, priority=priority, max_retries=max_retries, timeout=timeout)]
    if version is not None and not (is_instance(int, version) and version >= 1):
        found.append(Violation("version", "must be at least 1"))
    if found:
        violations += found
        return defaults
    return RowOptions(
        defaults.queue if queue is None else queue,
        defaults.kind,
        defaults.version if version is None else version,
        defaults.priority if priority is None else priority,
        defaults.max_retries if max_retries is None else max_retries,
        defaults.timeout_ms if timeout is None else timeout // MILLISECOND,
    )


def _metadata(metadata: object, violations: list[Violation]) -> str | None:
    wanted = f"must be a JSON object of at most {MAX_METADATA} bytes"
    if not isinstance(metadata, Mapping):
        violations.append(Violation("metadata", f"{wanted}, not a {type(metadata).__name__}"))
        return None
    try:
        return encoded(dict(metadata), what="it", limit=MAX_METADATA)
    except (TypeError, ValueError) as error:
        violations.append(Violation("metadata", f"{wanted}: {error}"))
        return None


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


def _unique_violations(unique: object, kind: Kind) -> Iterator[Violation]:
    if isinstance(unique, Unique):
        yield from unique.violations(kind)
    else:
        yield Violation("unique", f'must be a Unique, such as Unique(by=("order",)), not {unique!r}')


def _tag_violations(tags: Collection[str]) -> Iterator[Violation]:
    if isinstance(tags, str) or not isinstance(tags, Collection):
        yield Violation("tags", "must be a list of words, not " + ("one word" if isinstance(tags, str) else repr(tags)))
        return
    if len(tags) > MAX_TAGS:
        yield Violation("tags", f"must be at most {MAX_TAGS}")
    for place, tag in enumerate(tags):
        if not (is_instance(str, tag) and 1 <= len(tag) <= MAX_TAG_LENGTH and tag.isprintable()):
            yield Violation(f"tags[{place}]", f"must have 1 to {MAX_TAG_LENGTH} printable characters")
