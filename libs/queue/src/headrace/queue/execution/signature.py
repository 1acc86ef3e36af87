"""Checks a handler's signature when the handler is added, and reads the payload's class from it."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from headrace.queue.execution.running_job import RunningJob


def is_async(function: Callable[..., Any]) -> bool:
    """Returns whether it is an `async def`, a method or partial of one, or an object that is called like one."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_called(function))


def require_function(function: object, what: str) -> None:
    """Makes sure that it is a function, or an object like one, and that calling it runs it.

    Raises:
        TypeError: It is something else, a class, or a generator function.
    """
    if isinstance(function, type):
        raise TypeError(
            f"{what} must be a function, not the class {function.__qualname__}: calling it would only make an object. "
            "Give a method of an object of it"
        )
    if not callable(function):
        raise TypeError(f"{what} must be a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{what} must be a plain function or an async def; {described(function)} yields: it never runs")


def require_handler(function: object, what: str) -> None:
    """Makes sure that it can be called with a payload and a job.

    Raises:
        TypeError: It can't.
    """
    require_function(function, what)
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise TypeError(
            f"{what} is called with the payload and the job, but {described(function)} takes {signature}: "
            "give it two parameters, (payload, job)"
        ) from None


def payload_classes(function: Callable[..., Any]) -> tuple[type[Any], ...]:
    """Returns the class that a handler's first parameter is annotated with, or each class of a union.

    Raises:
        TypeError: It isn't a function, or the annotation is missing, can't be resolved, or is the job's.
    """
    require_function(function, "a handler")
    signature = _signature(function)
    parameter = next(iter(signature.parameters.values()), None) if signature else None
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        raise TypeError(
            f"{described(function)} doesn't say which kind it handles: annotate its first parameter with the class of "
            "the payload, for example `payload: SendReceipt`"
        )

    def holder() -> None:
        """Has this annotation alone: the others may name what is imported for type checkers only."""

    holder.__annotations__ = {parameter.name: parameter.annotation}
    try:
        annotation = typing.get_type_hints(holder, globalns=getattr(_called(_inner(function)), "__globals__", {}))[
            parameter.name
        ]
    except NameError as error:
        raise TypeError(
            f"{described(function)}: the annotation {parameter.annotation!r} of {parameter.name} names {error.name}, "
            "which is not at the top level of its module: define or import it there"
        ) from None
    if annotation is RunningJob:
        raise TypeError(
            f"{described(function)} takes the job first: the payload is the first parameter, the job second"
        )
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return typing.get_args(annotation)
    return (annotation,)


def is_being_defined(function: object) -> bool:
    """Returns whether a decorator is at work on a function: its module has no such name yet, and will have it."""
    module, name = getattr(function, "__module__", "__main__"), getattr(function, "__qualname__", "<")
    return module != "__main__" and "<" not in name and not hasattr(sys.modules.get(module), name.partition(".")[0])


def described(function: object) -> str:
    """Returns a function's name and where it is defined."""
    inner = _inner(function)
    name = getattr(inner, "__qualname__", None) or f"an object of {type(inner).__qualname__}"
    code = getattr(_called(inner), "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def _signature(function: Any) -> inspect.Signature | None:
    """A function's signature; None for those in C that have none."""
    try:
        return inspect.signature(function)
    except ValueError:
        return None


def _inner(function: Any) -> Any:
    """The function below decorators and partials."""
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    return function


def _called(function: Any) -> Any:
    """What runs when an object is called: the object itself, or its class's `__call__`."""
    return function if inspect.isroutine(function) else getattr(type(function), "__call__", None)  # noqa: B004
