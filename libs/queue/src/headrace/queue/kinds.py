"""Job kinds, made from protobuf messages.

A kind IS a message with the option `headrace.jobs.v1.job`; its name is the message's full name. What the option
leaves open comes from the deployment: overrides per kind, then defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from headrace.queue.errors import KindUnknown, QueueError, Violation

JOB_OPTION = "headrace.jobs.v1.job"
T = TypeVar("T")
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 2
FIRST_PRIORITY, LAST_PRIORITY = 1, 4
MAX_RETRIES = 1000
MAX_TIMEOUT = timedelta(hours=24)
MAX_VERSION = 2**15 - 1


class NotAKind(QueueError):
    """A message without the job option was given where a kind is needed."""


class KindMisconfigured(QueueError):
    """What an option, an override or the defaults say about a kind is out of range."""


@dataclass(frozen=True)
class Defaults:
    """What holds where neither the call, nor an override, nor the kind says anything."""

    max_retries: int = 3
    timeout: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class KindOverride:
    """A deployment's own values for one kind; None leaves the kind's."""

    queue: str | None = None
    max_retries: int | None = None
    timeout: timedelta | None = None
    priority: int | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of job with the values in force."""

    name: str
    message_class: type[Message]
    queue: str
    max_retries: int
    timeout: timedelta
    version: int
    priority: int


class Kinds:
    """The kinds that are known here, by name."""

    def __init__(
        self,
        messages: Iterable[type[Message]],
        *,
        defaults: Defaults | None = None,
        overrides: Mapping[str, KindOverride] | None = None,
    ) -> None:
        """Makes kinds of messages.

        Raises:
            NotAKind: One of the messages lacks the job option, or an override names none of them.
            KindMisconfigured: A value in force for one of them is out of range.
        """
        overrides = overrides or {}
        made = [_kind(message, defaults or Defaults(), overrides) for message in messages]
        self._kinds = {kind.name: kind for kind in sorted(made, key=lambda kind: kind.name)}
        if unknown := sorted(set(overrides) - set(self._kinds)):
            raise NotAKind(f"overrides for {', '.join(unknown)}: no such kind; known are {', '.join(self._kinds)}")

    @classmethod
    def of_file(
        cls,
        *files: FileDescriptor,
        defaults: Defaults | None = None,
        overrides: Mapping[str, KindOverride] | None = None,
    ) -> Kinds:
        """The kinds among the messages of generated modules: `Kinds.of_file(kinds_pb2.DESCRIPTOR)`."""
        descriptors = [message for file in files for message in file.message_types_by_name.values()]
        messages = [GetMessageClass(descriptor) for descriptor in descriptors if _is_kind(descriptor)]
        return cls(messages, defaults=defaults, overrides=overrides)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all kinds, sorted."""
        return tuple(self._kinds)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that these kinds stand in, sorted."""
        return tuple(sorted({kind.queue for kind in self}))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __getitem__(self, name: str) -> Kind:
        """The kind of that name.

        Raises:
            KindUnknown: There is none here.
        """
        try:
            return self._kinds[name]
        except KeyError:
            raise KindUnknown(name, self.names) from None


def _is_kind(descriptor: Descriptor) -> bool:
    return any(option.full_name == JOB_OPTION for option, _ in descriptor.GetOptions().ListFields())


def _kind(message: type[Message], defaults: Defaults, overrides: Mapping[str, KindOverride]) -> Kind:
    descriptor = message.DESCRIPTOR
    options = next((v for option, v in descriptor.GetOptions().ListFields() if option.full_name == JOB_OPTION), None)
    if options is None:
        raise NotAKind(f"{descriptor.full_name} is no job kind: set `option (headrace.jobs.v1.job) = {{…}}` on it")
    override = overrides.get(descriptor.full_name, KindOverride())
    own_retries = options.max_retries if options.HasField("max_retries") else None
    own_timeout = options.timeout.ToTimedelta() if options.HasField("timeout") else None
    own_priority = options.priority if options.HasField("priority") else None
    kind = Kind(
        name=descriptor.full_name,
        message_class=message,
        queue=_first(override.queue, options.queue or None, DEFAULT_QUEUE),
        max_retries=_first(override.max_retries, own_retries, defaults.max_retries),
        timeout=_first(override.timeout, own_timeout, defaults.timeout),
        version=options.version or 1,
        priority=_first(override.priority, own_priority, DEFAULT_PRIORITY),
    )
    violations = list(
        option_violations(queue=kind.queue, priority=kind.priority, max_retries=kind.max_retries, timeout=kind.timeout)
    )
    if not 1 <= kind.version <= MAX_VERSION:
        violations.append(Violation("version", f"must be 1 to {MAX_VERSION}"))
    if violations:
        raise KindMisconfigured(f"{kind.name}: " + "; ".join(f"{v.field} {v.description}" for v in violations))
    return kind


def option_violations(
    *, queue: str | None, priority: int | None, max_retries: int | None, timeout: timedelta | None
) -> Iterator[Violation]:
    """What is out of range in the options of a kind or a call; None is never."""
    if queue is not None and not (1 <= len(queue) <= 100 and queue.isprintable()):
        yield Violation("queue", "must have 1 to 100 printable characters")
    if priority is not None and not FIRST_PRIORITY <= priority <= LAST_PRIORITY:
        yield Violation("priority", f"must be {FIRST_PRIORITY} (first) to {LAST_PRIORITY} (last)")
    if max_retries is not None and not 0 <= max_retries <= MAX_RETRIES:
        yield Violation("max_retries", f"must be 0 to {MAX_RETRIES}")
    if timeout is not None and not timedelta(milliseconds=1) <= timeout <= MAX_TIMEOUT:
        yield Violation("timeout", "must be 1 ms to 24 hours")


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)
