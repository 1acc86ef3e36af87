"""Which function runs which kind, how, and with what around it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from headrace.queue.kinds import Kind, Kinds
from headrace.queue.middleware import AsyncMiddleware, PlainMiddleware
from headrace.queue.outcomes import Outcome
from headrace.queue.running import RunningJob

Payload = TypeVar("Payload")
AsyncHandler = Callable[[Payload, RunningJob], Awaitable[Outcome | None]]
PlainHandler = Callable[[Payload, RunningJob], Outcome | None]
Mode = Literal["async", "thread", "process"]


@dataclass(frozen=True)
class Handler:
    """A function for a kind."""

    kind: Kind
    function: Callable[[Any, RunningJob], Any]
    mode: Mode


class Handlers:
    """The handlers of a worker. It claims only jobs of kinds, and versions of them, that it has a handler for."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self._handlers: dict[str, Handler] = {}
        self._middleware: list[tuple[Callable[..., Any], frozenset[str]]] = []

    def add(self, message_class: type[Payload], function: AsyncHandler[Payload] | PlainHandler[Payload]) -> None:
        """Makes a function run the jobs of a kind: an `async def` on the event loop, a plain one in a thread.

        Raises:
            KindUnknown: The class is none of the kinds.
            ValueError: The kind has a handler already.
        """
        kind = self.kinds.of(message_class)
        if kind.name in self._handlers:
            raise ValueError(f"{kind.name} has a handler already")
        self._handlers[kind.name] = Handler(kind, function, "async" if _is_async(function) else "thread")

    def use(self, middleware: AsyncMiddleware | PlainMiddleware, *message_classes: type[Any]) -> None:
        """Puts a middleware around the handlers of these kinds, or of all; the first one used is the outermost.

        It is called as `middleware(message, job, call_next)`, and what it answers or raises is the attempt's outcome.
        An `async def` goes around every handler, on the event loop. A plain function goes around plain functions,
        where they run; it can't go around an `async def` handler, which is refused when the worker is made.

        Raises:
            KindUnknown: One of the classes is none of the kinds.
        """
        names = frozenset(self.kinds.of(each).name for each in message_classes)
        self._middleware.append((middleware, names))

    def around(self, handler: Handler) -> tuple[list[AsyncMiddleware], list[PlainMiddleware]]:
        """The middleware around a handler, outermost first: that of the event loop, then that beside the handler.

        Raises:
            ValueError: A plain one would have to go around an `async def`.
        """
        chosen = [each for each, names in self._middleware if not names or handler.kind.name in names]
        plain = [each for each in chosen if not _is_async(each)]
        if plain and _is_async(handler.function):
            raise ValueError(
                f"the middleware {_name(plain[0])} is a plain function and can't go around the handler of "
                f"{handler.kind.name}, an async def: make it an async def, which can go around every handler"
            )
        return [each for each in chosen if _is_async(each)], plain

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


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", function)  # noqa: B004  (an object may be a handler, too)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
