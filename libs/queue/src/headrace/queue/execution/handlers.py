"""Which function handles which kind, how it runs, and which middleware wraps it."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from headrace.queue.execution.middleware import AsyncMiddleware, PlainMiddleware
from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.execution.signature import (
    described,
    is_async,
    is_being_defined,
    require_function,
    require_handler,
)
from headrace.queue.kinds.kind import Kind, Kinds

Payload = TypeVar("Payload")
AsyncHandler = Callable[[Payload, RunningJob], Awaitable[Outcome | None]]
PlainHandler = Callable[[Payload, RunningJob], Outcome | None]
Mode = Literal["async", "thread", "process"]
LEAST_MEMORY = 64 * 1024 * 1024


@dataclass(frozen=True)
class Handler:
    """The handler of a kind."""

    kind: Kind
    function: Callable[[Any, RunningJob], Any]
    mode: Mode
    memory_limit: int | None = None
    """In bytes, for its process."""


class Handlers:
    """The handlers of a worker. The worker claims only jobs of kinds and versions that it has a handler for."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self._handlers: dict[str, Handler] = {}
        self._middleware: list[tuple[Callable[..., Any], frozenset[str]]] = []

    def add(
        self,
        message_class: type[Payload],
        function: AsyncHandler[Payload] | PlainHandler[Payload],
        *,
        mode: Mode | None = None,
        memory_limit: int | None = None,
    ) -> None:
        """Adds the handler of a kind: an `async def` runs on the event loop, a plain function in a thread.

        With `mode="process"` it runs in a separate process. The process is killed at the job's timeout or cancellation,
        whatever the function is doing, and its crash affects no other job. The process must be able to import the
        function: define it at the top level of a module that is not the program.

        Args:
            message_class: The kind's class.
            function: Called with the message and the job.
            mode: How it runs; None chooses "async" or "thread" by the function.
            memory_limit: The bytes that its process may use, including the interpreter's own; at least 64 MiB. Only
                for processes, and only on Linux.

        Raises:
            KindUnknownError: The class is not one of the kinds.
            ValueError: The kind has a handler already, or the function can't run in this mode.
            TypeError: It is not a function, or it is a generator function, which would never run.
        """
        kind = self.kinds.of(message_class)
        if kind.name in self._handlers:
            raise ValueError(f"{kind.name} has a handler already")
        require_handler(function, f"the handler of {kind.name}")
        own_mode: Mode = "async" if is_async(function) else "thread"
        mode = mode or own_mode
        if mode == "process":
            _require_importable(function)
        elif mode != own_mode:
            raise ValueError(
                f"{described(function)} can't run in mode {mode!r}: it can run in {own_mode!r} or 'process'"
            )
        if memory_limit is not None and (mode != "process" or sys.platform != "linux"):
            raise ValueError(f"memory_limit of {kind.name}: only handlers of mode 'process' on Linux can have one")
        if memory_limit is not None and memory_limit < LEAST_MEMORY:
            raise ValueError(
                f"memory_limit of {kind.name} must be at least {LEAST_MEMORY} bytes: Python alone needs that"
            )
        self._handlers[kind.name] = Handler(kind, function, mode, memory_limit)

    def use(self, middleware: AsyncMiddleware | PlainMiddleware, *message_classes: type[Any]) -> None:
        """Wraps the handlers of these kinds, or of all kinds, in a middleware. The first one added is the outermost.

        It is called as `middleware(message, job, call_next)`, and what it returns or raises is the attempt's outcome.
        An `async def` wraps every handler, on the event loop. A plain function wraps plain functions, in their thread
        or process. It can't wrap an `async def` handler: then the worker's constructor raises an error.

        Raises:
            KindUnknownError: One of the classes is not one of the kinds.
            TypeError: It is not a function, or it is a generator function.
        """
        require_function(middleware, "a middleware")
        names = frozenset(self.kinds.of(each).name for each in message_classes)
        self._middleware.append((middleware, names))

    def with_kinds(self, kinds: Kinds) -> Handlers:
        """Returns the same handlers for the same kinds with other options, for example a deployment's overrides.

        Raises:
            KindUnknownError: A kind that has a handler is missing.
        """
        changed = Handlers(kinds)
        changed._handlers = {name: replace(handler, kind=kinds[name]) for name, handler in self._handlers.items()}
        changed._middleware = list(self._middleware)
        return changed

    def middleware_for(self, handler: Handler) -> tuple[list[AsyncMiddleware], list[PlainMiddleware]]:
        """Returns the middleware of a handler, outermost first: the `async def` ones, then the plain ones.

        Raises:
            ValueError: A plain one would have to wrap an `async def`, or can't be imported by a process.
        """
        chosen = [each for each, names in self._middleware if not names or handler.kind.name in names]
        plain = [each for each in chosen if not is_async(each)]
        if plain and is_async(handler.function):
            raise ValueError(
                f"the middleware {described(plain[0])} is a plain function and can't wrap the handler of "
                f"{handler.kind.name}, an async def: make it an async def, which can wrap every handler"
            )
        if handler.mode == "process":
            for each in plain:
                _require_importable(each)
        return [each for each in chosen if is_async(each)], plain

    def __getitem__(self, kind: str) -> Handler:
        """Returns the handler of a kind, by its name or a former one."""
        return self._handlers[self.kinds[kind].name]

    @property
    def handled(self) -> tuple[Kind, ...]:
        """The kinds that have a handler, sorted by name."""
        return tuple(self._handlers[name].kind for name in sorted(self._handlers))

    @property
    def versions(self) -> dict[str, int]:
        """The highest version that runs here, by the name of the kind, former names included."""
        return {name: kind.version for kind in self.handled for name in kind.names}

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of these kinds, sorted."""
        return tuple(sorted({kind.queue for kind in self.handled}))


def _require_importable(function: Callable[..., Any]) -> None:
    """Makes sure that a process can import a function: it pickles, or will as soon as its module is imported."""
    try:
        pickle.dumps(function)
        importable = getattr(function, "__module__", "") != "__main__"
    except (pickle.PicklingError, AttributeError, TypeError):
        importable = is_being_defined(function)
    if not importable:
        raise ValueError(
            f"a separate process can't import {described(function)}: move it to the top level of a module that is not "
            "the program itself"
        )
