"""Job kinds: protobuf messages with the option `headrace.jobs.v1.job`, dataclasses and models with `@job_kind`.

A protobuf kind's name is its message's full name. What the option or the decorator leaves open comes from the
deployment: first from overrides per kind, then from defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.queue.arguments import is_instance
from headrace.queue.errors import KindUnknownError, Violation
from headrace.queue.kinds.codec import Codec
from headrace.queue.kinds.declaration import (
    Declaration,
    KindMisconfiguredError,
    NotAJobKindError,
    declaration_of,
    is_kind_name,
)
from headrace.queue.kinds.message_class import is_message_class

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

T = TypeVar("T")
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 2
FIRST_PRIORITY, LAST_PRIORITY = 1, 4
MAX_RETRIES = 1000
MAX_QUEUE_LENGTH = 100
MIN_TIMEOUT, MAX_TIMEOUT = timedelta(milliseconds=1), timedelta(hours=24)
MAX_VERSION = 2**15 - 1


@dataclass(frozen=True)
class Defaults:
    """The values of what neither the call, nor an override, nor the kind sets."""

    max_retries: int = 3
    timeout: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class KindOverride:
    """A deployment's own values for one kind; None keeps the kind's value."""

    queue: str | None = None
    max_retries: int | None = None
    timeout: timedelta | None = None
    priority: int | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of job with the values that apply in this deployment."""

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
        """The names that its jobs may have: its own, then the former ones."""
        return (self.name, *self.former_names)

    @property
    def original_name(self) -> str:
        """Its oldest name, by which idempotency keys and uniqueness know it, so that they survive a renaming."""
        return self.former_names[0] if self.former_names else self.name


class Kinds:
    """The kinds that a program knows, by name.

    Args:
        messages: Protobuf messages with the job option, and classes with `@job_kind`.
        defaults: For what the kinds leave open.
        overrides: A deployment's own values, by the kind's name or a former name.

    Raises:
        NotAJobKindError: One of the classes is not a kind, or an override names none of them.
        KindMisconfiguredError: A value of a kind is out of range, or two kinds share a name.
    """

    def __init__(
        self,
        messages: Iterable[type[Any]],
        *,
        defaults: Defaults | None = None,
        overrides: Mapping[str, KindOverride] | None = None,
    ) -> None:
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
        """Returns the kinds among the messages of generated modules: `Kinds.of_file(kinds_pb2.DESCRIPTOR)`."""
        from headrace.queue.kinds.job_option import message_classes  # noqa: PLC0415  (needs protobuf)

        return cls(message_classes(files), defaults=defaults, overrides=overrides)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all kinds, sorted."""
        return tuple(self._kinds)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names that jobs of these kinds may have, former ones included, sorted."""
        return tuple(sorted(self._by_any_name))

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of these kinds, sorted."""
        return tuple(sorted({kind.queue for kind in self}))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __contains__(self, name: object) -> bool:
        return name in self._by_any_name

    def __getitem__(self, name: str) -> Kind:
        """Returns the kind of that name or former name.

        Raises:
            KindUnknownError: There is no such kind here.
        """
        try:
            return self._by_any_name[name]
        except KeyError:
            raise KindUnknownError(name, self.names) from None

    def of(self, payload: Any) -> Kind:
        """Returns the kind of a payload, or of its class.

        Raises:
            KindUnknownError: It is not of a kind that is known here.
        """
        return self[name_of(payload if isinstance(payload, type) else type(payload))]


def name_of(payload_class: type[Any]) -> str:
    """Returns the name of the kind that a class declares, or the class's own name if it declares none."""
    if is_message_class(payload_class):
        return payload_class.DESCRIPTOR.full_name
    declared = declaration_of(payload_class)
    return declared.name if declared else f"{payload_class.__module__}.{payload_class.__qualname__}"


def _kind(payload_class: type[Any], defaults: Defaults, overrides: Mapping[str, KindOverride]) -> Kind:
    declared, codec = _declared(payload_class)
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
    violations = [
        *option_violations(
            queue=kind.queue, priority=kind.priority, max_retries=kind.max_retries, timeout=kind.timeout
        ),
        *_name_violations(kind),
    ]
    if not (is_instance(int, kind.version) and 1 <= kind.version <= MAX_VERSION):
        violations.append(Violation("version", f"must be 1 to {MAX_VERSION}"))
    if violations:
        raise KindMisconfiguredError(f"{kind.name}: " + "; ".join(f"{v.field} {v.description}" for v in violations))
    return kind


def _declared(payload_class: type[Any]) -> tuple[Declaration, Codec]:
    """Returns what a class declares, and its codec; imports pydantic or protobuf only if the class needs it."""
    if not isinstance(payload_class, type):
        raise NotAJobKindError(f"{payload_class!r} is not a job kind: give the class")
    if is_message_class(payload_class):
        from headrace.queue.kinds.job_option import declaration_of_message  # noqa: PLC0415
        from headrace.queue.kinds.protobuf_codec import ProtobufCodec  # noqa: PLC0415

        return declaration_of_message(payload_class), ProtobufCodec(payload_class)
    declared = declaration_of(payload_class)
    if declared is None:
        raise NotAJobKindError(f'{name_of(payload_class)} is not a job kind: put @job_kind("…") on it')
    from headrace.queue.kinds.json_codec import JsonCodec  # noqa: PLC0415

    return declared, JsonCodec(payload_class, declared.name)


def _name_violations(kind: Kind) -> Iterator[Violation]:
    for name in kind.former_names:
        if not is_kind_name(name):
            yield Violation("former_names", f"must be full names such as shop.SendReceipt, not {name!r}")
    if len(set(kind.names)) < len(kind.names):
        yield Violation("former_names", "must differ from each other and from the name")


def option_violations(
    *, queue: str | None, priority: int | None, max_retries: int | None, timeout: timedelta | None
) -> Iterator[Violation]:
    """Returns what is out of range in the options of a kind or a call; None never is."""
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
    elif timeout is not None and not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        yield Violation("timeout", "must be 1 ms to 24 hours")


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)
