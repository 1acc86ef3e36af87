"""Loads what the worker runs, as JOBS_HANDLERS names it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

from headrace.queue import Handlers, Periodic
from jobs_service.object_references import import_reference
from jobs_service.settings import reject_setting

_VARIABLE = "JOBS_HANDLERS"
_EXPECTED = (
    "expected a headrace.queue.Handlers, an object that has one as `.handlers`, such as a headrace.queue.Headrace, or "
    "a function without parameters that returns an async context manager of either"
)


class Application(NamedTuple):
    """What a worker runs."""

    handlers: Handlers
    periodic_jobs: Sequence[Periodic] = ()


@asynccontextmanager
async def open_application(reference: str) -> AsyncIterator[Application]:
    """Imports the application, and opens it for as long as the block runs if it is a context manager.

    Ends the program with exit code 2 if it can't be used.
    """
    found = import_reference(_VARIABLE, reference)
    if (application := _read(found)) is not None:
        yield _checked(reference, application)
        return
    opened = found() if callable(found) else None
    if not isinstance(opened, AbstractAsyncContextManager):
        what = f"returned {_named(opened)}" if callable(found) else f"is {_named(found)}"
        reject_setting(_VARIABLE, f"{reference} {what}: {_EXPECTED}")
    async with opened as yielded:
        application = _read(yielded)
        if application is None:
            reject_setting(_VARIABLE, f"{reference} yielded {_named(yielded)}: {_EXPECTED}")
        yield _checked(reference, application)


def _read(found: object) -> Application | None:
    handlers = found if isinstance(found, Handlers) else getattr(found, "handlers", None)
    if not isinstance(handlers, Handlers):
        return None
    return Application(handlers, getattr(found, "periodic_jobs", ()))


def _checked(reference: str, application: Application) -> Application:
    if not application.handlers.handled:
        reject_setting(_VARIABLE, f"{reference} has no handlers: add at least one, with Handlers.add")
    return application


def _named(found: object) -> str:
    return f"an object of type {type(found).__name__}"
