"""Which function runs which kind."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from headrace.queue.kinds import Kind, Kinds
from headrace.queue.outcomes import Outcome
from headrace.queue.running import RunningJob

Payload = TypeVar("Payload", bound=Message)
AsyncHandler = Callable[[Payload, RunningJob], Awaitable[Outcome | None]]
ThreadHandler = Callable[[Payload, RunningJob], Outcome | None]


@dataclass(frozen=True)
class Handler:
    """A function for a kind."""

    kind: Kind
    function: Callable[[Any, RunningJob], Any]
    is_async: bool


class Handlers:
    """The handlers of a worker. It claims only jobs of kinds, and versions of them, that it has a handler for."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self._handlers: dict[str, Handler] = {}

    def add(self, message_class: type[Payload], function: AsyncHandler[Payload] | ThreadHandler[Payload]) -> None:
        """Makes a function run the jobs of a kind: an `async def` on the event loop, a plain one in a thread.

        Raises:
            KindUnknown: The class is none of the kinds.
            ValueError: The kind has a handler already.
        """
        kind = self.kinds[message_class.DESCRIPTOR.full_name]
        if kind.name in self._handlers:
            raise ValueError(f"{kind.name} has a handler already")
        call = getattr(function, "__call__", function)  # noqa: B004  (an object may be a handler, too)
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
        self._handlers[kind.name] = Handler(kind, function, is_async)

    def __getitem__(self, kind: str) -> Handler:
        return self._handlers[kind]

    @property
    def handled(self) -> tuple[Kind, ...]:
        """The kinds that have a handler, sorted by name."""
        return tuple(self._handlers[name].kind for name in sorted(self._handlers))

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that those kinds stand in, sorted."""
        return tuple(sorted({kind.queue for kind in self.handled}))
