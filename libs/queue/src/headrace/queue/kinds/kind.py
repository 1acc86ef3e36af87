"""Job kinds: protobuf messages with the option `headrace.jobs.v1.job`, dataclasses and models with `@job_kind`.

A protobuf kind's name is its message's full name. What the option or the decorator leaves open comes from the
deployment: overrides per kind, then defaults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from headrace.queue.arguments import is_instance
from headrace.queue.errors import KindUnknownError, QueueError, Violation
from headrace.queue.kinds.codec import Codec
from headrace.queue.kinds.json_codec import JsonCodec
from headrace.queue.kinds.protobuf_codec import ProtobufCodec

JOB_OPTION = "headrace.jobs.v1.job"
DECLARED = "__job_kind__"
T = TypeVar("T")
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 2
FIRST_PRIORITY, LAST_PRIORITY = 1, 4
MAX_RETRIES = 1000
MAX_NAME_LENGTH = 200
MAX_QUEUE_LENGTH = 100
MAX_TIMEOUT = timedelta(hours=24)
MAX_VERSION = 2**15 - 1
_KIND_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class NotAJobKindError(QueueError):
    """A class without the job option, and without `@job_kind`, was given where a kind is needed."""


class KindMisconfiguredError(QueueError):
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
    message_class: type[Any]
    queue: str
    max_retries: int
    timeout: timedelta
    version: int
    priority: int
    codec: Codec = field(repr=False, compare=False)
    former_names: tuple[str, ...] = ()
    """What it was called before, the oldest name first."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that jobs of it may bear: its own, then the former ones."""
        return (self.name, *self.former_names)

    @property
    def original_name(self) -> str:
        """The name that idempotency keys and uniqueness know it by: the oldest, so that they outlast a renaming."""
        return self.former_names[0] if self.former_names else self.name


@dataclass(frozen=True)
class _Declared:
    """What a class says about itself; None is left open."""

    name: str
    queue: str | None
    max_retries: int | None
    timeout: timedelta | None
    version: int
    priority: int | None
    former_names: tuple[str, ...]


def job_kind(
    name: str,
    *,
    queue: str | None = None,
    max_retries: int | None = None,
    timeout: timedelta | None = None,
    version: int = 1,
    priority: int | None = None,
    former_names: Sequence[str] = (),
) -> Callable[[type[T]], type[T]]:
    """Makes a dataclass or a pydantic model a kind of job, with JSON for its payload.

    Args:
        name: The kind's name, such as "shop.SendReceipt". It is stored with each job: keep it if the class is renamed.
        queue: Up to 100 characters.
        max_retries: 0 to 1000.
        timeout: Of one attempt; up to 24 hours.
        version: Of the payload. A worker claims only versions that are not above its own.
        priority: 1 (first) to 4 (last).
        former_names: What it was called before, the oldest name first. Jobs that bear one of them are jobs of it.

    Raises:
        KindMisconfiguredError: The name is none.
    """
    if isinstance(name, type):
        raise KindMisconfiguredError(f'@job_kind needs the name of the kind: @job_kind("shop.{name.__name__}")')
    if not is_instance(str, name) or not _KIND_NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise KindMisconfiguredError(
            f"kind name {name!r}: use words of letters, digits and underscores, joined by dots"
        )

    def declare(payload_class: type[T]) -> type[T]:
        declared = _Declared(name, queue, max_retries, timeout, version, priority, tuple(former_names))
        setattr(payload_class, DECLARED, declared)
        return payload_class

    return declare


class Kinds:
    """The kinds that are known here, by name."""

    def __init__(
        self,
        messages: Iterable[type[Any]],
        *,
        defaults: Defaults | None = None,
        overrides: Mapping[str, KindOverride] | None = None,
    ) -> None:
        """Makes kinds of classes: protobuf messages with the job option, and what `@job_kind` is on.

        An override may name a kind by a former name: settings outlast a renaming.

        Raises:
            NotAJobKindError: One of the classes is neither, or an override names none of them.
            KindMisconfiguredError: A value in force for one of them is out of range, or two have a name in common.
        """
        self._defaults = defaults or Defaults()
        self._overrides = dict(overrides or {})
        self._kinds: dict[str, Kind] = {}
        self._by_any_name: dict[str, Kind] = {}
        for message in messages:
            self.add(message)
        if unknown := sorted(set(self._overrides) - set(self._by_any_name)):
            raise NotAJobKindError(
                f"overrides for {', '.join(unknown)}: no such kind; known are {', '.join(self._kinds)}"
            )

    def add(self, payload_class: type[Any]) -> Kind:
        """Makes a class a kind that is known here, unless it is one already, and returns its kind.

        Raises:
            NotAJobKindError: It is neither a message with the job option nor a class with `@job_kind`.
            KindMisconfiguredError: One of its options is out of range, or another class has one of its names.
        """
        kind = _kind(payload_class, self._defaults, self._overrides)
        for name in kind.names:
            known = self._by_any_name.get(name, kind)
            if known.message_class is not payload_class:
                raise KindMisconfiguredError(f"two classes are declared to be the kind {name}")
        self._by_any_name |= dict.fromkeys(kind.names, kind)
        self._kinds = dict(sorted({**self._kinds, kind.name: kind}.items()))
        return kind

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
    def all_names(self) -> tuple[str, ...]:
        """The names that jobs of these kinds may bear, former ones included, sorted."""
        return tuple(sorted(self._by_any_name))

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that these kinds stand in, sorted."""
        return tuple(sorted({kind.queue for kind in self}))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __contains__(self, name: object) -> bool:
        return name in self._by_any_name

    def __getitem__(self, name: str) -> Kind:
        """The kind of that name, or of that former name.

        Raises:
            KindUnknownError: There is none here.
        """
        try:
            return self._by_any_name[name]
        except KeyError:
            raise KindUnknownError(name, self.names) from None

    def of(self, payload: Any) -> Kind:
        """The kind of a payload, or of its class.

        Raises:
            KindUnknownError: It is of none here.
        """
        payload_class = payload if isinstance(payload, type) else type(payload)
        return self[name_of(payload_class)]


def name_of(payload_class: type[Any]) -> str:
    """The name of the kind that a class says it is; its own name where it says nothing."""
    if issubclass(payload_class, Message):
        return payload_class.DESCRIPTOR.full_name
    # Looked for in the class itself: a subclass is another payload.
    declared: _Declared | None = vars(payload_class).get(DECLARED)
    return declared.name if declared else f"{payload_class.__module__}.{payload_class.__qualname__}"


def _is_kind(descriptor: Descriptor) -> bool:
    return any(option.full_name == JOB_OPTION for option, _ in descriptor.GetOptions().ListFields())


def _kind(payload_class: type[Any], defaults: Defaults, overrides: Mapping[str, KindOverride]) -> Kind:
    codec: Codec
    if isinstance(payload_class, type) and issubclass(payload_class, Message):
        declared, codec = _of_message(payload_class), ProtobufCodec(payload_class)
    else:
        declared = _of_class(payload_class)
        codec = JsonCodec(payload_class, declared.name)
    names = (declared.name, *declared.former_names)
    override = next((overrides[name] for name in names if name in overrides), KindOverride())
    kind = Kind(
        name=declared.name,
        message_class=payload_class,
        queue=_first(override.queue, declared.queue, DEFAULT_QUEUE),
        max_retries=_first(override.max_retries, declared.max_retries, defaults.max_retries),
        timeout=_first(override.timeout, declared.timeout, defaults.timeout),
        version=declared.version,
        priority=_first(override.priority, declared.priority, DEFAULT_PRIORITY),
        codec=codec,
        former_names=declared.former_names,
    )
    violations = list(
        option_violations(queue=kind.queue, priority=kind.priority, max_retries=kind.max_retries, timeout=kind.timeout)
    )
    violations += _name_violations(kind)
    if not (is_instance(int, kind.version) and 1 <= kind.version <= MAX_VERSION):
        violations.append(Violation("version", f"must be 1 to {MAX_VERSION}"))
    if violations:
        raise KindMisconfiguredError(f"{kind.name}: " + "; ".join(f"{v.field} {v.description}" for v in violations))
    return kind


def _of_message(message: type[Message]) -> _Declared:
    descriptor = message.DESCRIPTOR
    options = next((v for option, v in descriptor.GetOptions().ListFields() if option.full_name == JOB_OPTION), None)
    if options is None:
        raise NotAJobKindError(
            f"{descriptor.full_name} is no job kind: set `option (headrace.jobs.v1.job) = {{…}}` on it"
        )
    return _Declared(
        name=descriptor.full_name,
        queue=options.queue or None,
        max_retries=options.max_retries if options.HasField("max_retries") else None,
        timeout=options.timeout.ToTimedelta() if options.HasField("timeout") else None,
        version=options.version or 1,
        priority=options.priority if options.HasField("priority") else None,
        former_names=tuple(options.former_names),
    )


def _of_class(payload_class: type[Any]) -> _Declared:
    if not isinstance(payload_class, type):
        raise NotAJobKindError(f"{payload_class!r} is no job kind: give the class")
    declared: _Declared | None = vars(payload_class).get(DECLARED)
    if declared is None:
        raise NotAJobKindError(f'{name_of(payload_class)} is no job kind: put @job_kind("…") on it')
    return declared


def _name_violations(kind: Kind) -> Iterator[Violation]:
    for name in kind.former_names:
        if not _KIND_NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            yield Violation("former_names", f"must be full names such as shop.SendReceipt, not {name!r}")
    if len(set(kind.names)) < len(kind.names):
        yield Violation("former_names", "must differ from each other and from the name")


def option_violations(
    *, queue: str | None, priority: int | None, max_retries: int | None, timeout: timedelta | None
) -> Iterator[Violation]:
    """What is out of range in the options of a kind or a call; None is never."""
    if queue is not None and not (
        is_instance(str, queue) and 1 <= len(queue) <= MAX_QUEUE_LENGTH and queue.isprintable()
    ):
        yield Violation("queue", f"must have 1 to {MAX_QUEUE_LENGTH} printable characters")
    if priority is not None and not (is_instance(int, priority) and FIRST_PRIORITY <= priority <= LAST_PRIORITY):
        yield Violation("priority", f"must be {FIRST_PRIORITY} (first) to {LAST_PRIORITY} (last)")
    if max_retries is not None and not (is_instance(int, max_retries) and 0 <= max_retries <= MAX_RETRIES):
        yield Violation("max_retries", f"must be 0 to {MAX_RETRIES}")
    if timeout is not None and not is_instance(timedelta, timeout):
        yield Violation("timeout", f"must be a timedelta, not {timeout!r}")
    elif timeout is not None and not timedelta(milliseconds=1) <= timeout <= MAX_TIMEOUT:
        yield Violation("timeout", "must be 1 ms to 24 hours")


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)
