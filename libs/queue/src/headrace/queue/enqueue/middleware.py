"""Middleware around enqueueing, for all kinds or for some.

A middleware is a generator function. It receives jobs, yields once what to enqueue instead of them (another NewJob, or
an EnqueueError to reject one), is sent the results, and may return others; all in the same order. So one function
serves blocking and asynchronous callers. A middleware that has to await something is an `async def` of the jobs and
the next step; it serves asynchronous callers only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar

from headrace.queue.enqueue.new_job import NewJob
from headrace.queue.enqueue.results import Enqueued
from headrace.queue.errors import EnqueueError
from headrace.queue.kinds.kind import name_of
from headrace.queue.kinds.message_class import is_any

Result = Enqueued | EnqueueError
Item = NewJob | EnqueueError
Enqueue = Callable[[Sequence[NewJob]], list[Result]]
AsyncEnqueue = Callable[[Sequence[NewJob]], Awaitable[list[Result]]]
CallNext = Callable[[Sequence[Item]], Awaitable[list[Result]]]
GeneratorMiddleware = Callable[[Sequence[NewJob]], Generator[Sequence[Item], list[Result], Sequence[Result] | None]]
AsyncMiddleware = Callable[[Sequence[NewJob], CallNext], Awaitable[Sequence[Result]]]
EnqueueMiddleware = GeneratorMiddleware | AsyncMiddleware
T = TypeVar("T")


class MiddlewareStack:
    """The middleware of an enqueuer, outermost first."""

    def __init__(self) -> None:
        self._layers: list[tuple[Any, frozenset[str]]] = []

    def __bool__(self) -> bool:
        return bool(self._layers)

    def add(self, middleware: EnqueueMiddleware, kinds: frozenset[str]) -> None:
        """Adds a middleware for the jobs of these kinds; for all, if none are given.

        Raises:
            TypeError: The middleware is neither a generator function nor an `async def`.
        """
        if not (isgeneratorfunction(middleware) or iscoroutinefunction(middleware)):
            raise TypeError(f"{middleware!r} is not a middleware: it must be a generator function or an async def")
        self._layers.append((middleware, kinds))

    def around(self, enqueue: Enqueue) -> Enqueue:
        """Returns a function that enqueues through the middleware.

        Raises:
            TypeError: A middleware is an `async def`.
        """
        for middleware, kinds in reversed(self._layers):
            if iscoroutinefunction(middleware):
                raise TypeError(f"{middleware!r} is an async def, which can't run in a blocking call")
            enqueue = partial(_layer, middleware, kinds, enqueue)
        return enqueue

    def around_async(self, enqueue: AsyncEnqueue) -> AsyncEnqueue:
        """Returns a function that enqueues asynchronously through the middleware."""
        for middleware, kinds in reversed(self._layers):
            layer = _async_layer if iscoroutinefunction(middleware) else _layer_in_async
            enqueue = partial(layer, middleware, kinds, enqueue)
        return enqueue


class _Batch:
    """The jobs of a call, and those of them that a middleware is for."""

    def __init__(self, jobs: Sequence[NewJob], kinds: frozenset[str]) -> None:
        self._jobs = jobs
        self._places = [place for place, job in enumerate(jobs) if not kinds or _kind(job) in kinds]
        self._refused: dict[int, EnqueueError] = {}

    @property
    def mine(self) -> list[NewJob]:
        """The jobs that the middleware receives."""
        return self.chosen(self._jobs)

    def chosen(self, things: Sequence[T]) -> list[T]:
        """Returns the results, or jobs, that the middleware is for."""
        return [things[place] for place in self._places]

    def replaced(self, items: Sequence[Item]) -> list[NewJob]:
        """Returns all jobs to enqueue, with what the middleware yielded in place of those it was given."""
        wanted: dict[int, Item] = {**dict(enumerate(self._jobs)), **self._placed(items, NewJob, EnqueueError)}
        self._refused = {place: item for place, item in wanted.items() if isinstance(item, EnqueueError)}
        return [item for item in wanted.values() if not isinstance(item, EnqueueError)]

    def results(self, results: Sequence[Result]) -> list[Result]:
        """Returns the results of all jobs, given those of the enqueued ones."""
        rest = iter(results)
        return [self._refused.get(place) or next(rest) for place in range(len(self._jobs))]

    def changed(self, results: list[Result], own: Sequence[Result] | None) -> list[Result]:
        """Returns the results of all jobs, with those that the middleware returned."""
        return (
            results
            if own is None
            else [*(dict(enumerate(results)) | self._placed(own, Enqueued, EnqueueError)).values()]
        )

    def _placed(self, things: Sequence[T], *kinds: type) -> dict[int, T]:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        if not isinstance(things, Sequence):
            raise TypeError(f"a middleware must return a list of {wanted}, not a {type(things).__name__}")
        if strange := [type(thing).__name__ for thing in things if not isinstance(thing, kinds)]:
            raise TypeError(f"a middleware must return a list of {wanted}, not of {strange[0]}")
        if len(things) != len(self._places):
            raise TypeError(f"a middleware received {len(self._places)} jobs and returned {len(things)}")
        return dict(zip(self._places, things, strict=True))


def _visit(
    middleware: GeneratorMiddleware, batch: _Batch
) -> Generator[Sequence[NewJob], Sequence[Result], list[Result]]:
    """Runs a batch through a middleware: yields what to enqueue, is sent the results, returns those of all jobs."""
    steps = middleware(batch.mine)
    try:
        wanted = batch.replaced(next(steps))
    except StopIteration:
        raise TypeError(f"{middleware!r} must yield once what to enqueue") from None
    try:
        results = batch.results((yield wanted))
    except BaseException as error:
        steps.throw(error)
        raise
    try:
        steps.send(batch.chosen(results))
    except StopIteration as stop:
        return batch.changed(results, stop.value)
    raise TypeError(f"{middleware!r} must yield only once")


def _layer(
    middleware: GeneratorMiddleware, kinds: frozenset[str], enqueue: Enqueue, jobs: Sequence[NewJob]
) -> list[Result]:
    visit = _visit(middleware, _Batch(jobs, kinds))
    wanted = next(visit)
    try:
        results = enqueue(wanted)
    except BaseException as error:
        visit.throw(error)
        raise
    return _end(visit, results)


async def _layer_in_async(
    middleware: GeneratorMiddleware, kinds: frozenset[str], enqueue: AsyncEnqueue, jobs: Sequence[NewJob]
) -> list[Result]:
    visit = _visit(middleware, _Batch(jobs, kinds))
    wanted = next(visit)
    try:
        results = await enqueue(wanted)
    except BaseException as error:
        visit.throw(error)
        raise
    return _end(visit, results)


async def _async_layer(
    middleware: AsyncMiddleware, kinds: frozenset[str], enqueue: AsyncEnqueue, jobs: Sequence[NewJob]
) -> list[Result]:
    batch = _Batch(jobs, kinds)
    results: list[Result] | None = None

    async def call_next(items: Sequence[Item]) -> list[Result]:
        nonlocal results
        if results is not None:
            raise TypeError(f"{middleware!r} must call call_next only once")
        results = batch.results(await enqueue(batch.replaced(items)))
        return batch.chosen(results)

    own = await middleware(batch.mine, call_next)
    if results is None:
        raise TypeError(f"{middleware!r} must call call_next once")
    return batch.changed(results, own)


def _end(visit: Generator[Any, Sequence[Result], list[Result]], results: Sequence[Result]) -> list[Result]:
    try:
        visit.send(results)
    except StopIteration as stop:
        results_of_all: list[Result] = stop.value
        return results_of_all
    raise AssertionError


def _kind(job: NewJob) -> str:
    return job.payload.TypeName() if is_any(job.payload) else name_of(type(job.payload))
