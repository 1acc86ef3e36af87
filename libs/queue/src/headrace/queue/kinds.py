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

from headrace.queue.errors import KindUnknown, QueueError

JOB_OPTION = "headrace.jobs.v1.job"
T = TypeVar("T")
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 2
FIRST_PRIORITY, LAST_PRIORITY = 1, 4


class NotAKind(QueueError):
    """A message without the job option was given where a kind is needed."""


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
    return Kind(
        name=descriptor.full_name,
        message_class=message,
        queue=_first(override.queue, options.queue or None, DEFAULT_QUEUE),
        max_retries=_first(override.max_retries, own_retries, defaults.max_retries),
        timeout=_first(override.timeout, own_timeout, defaults.timeout),
        version=options.version or 1,
        priority=_first(override.priority, own_priority, DEFAULT_PRIORITY),
    )


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)
