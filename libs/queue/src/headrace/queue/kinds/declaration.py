"""What a class declares about the kind of job that it is the payload of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from headrace.queue.errors import QueueError

DECLARED = "__job_kind__"
MAX_NAME_LENGTH = 200
T = TypeVar("T")
_KIND_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class NotAJobKindError(QueueError):
    """A class without the job option and without `@job_kind` was given where a kind is needed."""


class KindMisconfiguredError(QueueError):
    """An option, an override or a default of a kind is out of range."""


@dataclass(frozen=True)
class Declaration:
    """What a class declares; None is left to the deployment."""

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
    """Makes a dataclass or a pydantic model a kind of job, whose payload is stored as JSON.

    Args:
        name: The kind's name, for example "shop.SendReceipt". It is stored with each job: keep it if you rename the
            class.
        queue: Up to 100 characters.
        max_retries: 0 to 1000.
        timeout: Of one attempt; up to 24 hours.
        version: Of the payload. A worker claims no job of a version above its own.
        priority: 1 (first) to 4 (last).
        former_names: What the kind was called before, the oldest name first. Jobs with such a name are jobs of it.

    Raises:
        KindMisconfiguredError: The name is not a valid one.
    """
    if isinstance(name, type):
        raise KindMisconfiguredError(f'@job_kind needs the name of the kind: @job_kind("shop.{name.__name__}")')
    if not is_kind_name(name):
        raise KindMisconfiguredError(
            f"kind name {name!r}: use words of letters, digits and underscores, joined by dots"
        )

    def declare(payload_class: type[T]) -> type[T]:
        declaration = Declaration(name, queue, max_retries, timeout, version, priority, tuple(former_names))
        setattr(payload_class, DECLARED, declaration)
        return payload_class

    return declare


def declaration_of(payload_class: type[Any]) -> Declaration | None:
    """Returns what `@job_kind` declared on this very class: a subclass is another payload."""
    declared: Declaration | None = vars(payload_class).get(DECLARED)
    return declared


def is_kind_name(name: object) -> bool:
    """Returns whether a value can be a kind's name."""
    return isinstance(name, str) and len(name) <= MAX_NAME_LENGTH and _KIND_NAME.fullmatch(name) is not None
