"""Loads what the worker runs, as JOBS_HANDLERS names it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

from headrace.queue import Handlers, Periodic
from jobs_service.object_references import import_reference
from jobs_service.settings import reject_setting

_VARIABLE = "JOBS_HANDLERS"
_EXPECTED = (
    "expected a headrace.queue.Headrace or its Handlers, or a function without parameters that returns one or an async "
    "context manager of one"
)


class Application(NamedTuple):
    """What a worker runs."""

    handlers: Handlers
    periodic_jobs: Sequence[Periodic] = ()


@asynccontextmanager
async def open_application(reference: str, *, schema: str) -> AsyncIterator[Application]:
    """Imports the application, and keeps it open while the block runs if it is a context manager.

    Ends the program with exit code 2 if it can't be used.

    Args:
        reference: "package.module:name" of a `Headrace`, of any other object with `.handlers` and perhaps
            `.periodic_jobs`, of `Handlers`, or of a function that returns one of these, or a context manager of one.
        schema: The schema that the worker uses.
    """
    found = import_reference(_VARIABLE, reference)
    how = "is"
    if _read(found) is None and callable(found):
        found, how = found(), "returned"
    if isinstance(found, AbstractAsyncContextManager):
        async with found as opened:
            yield _checked(opened, f"{reference} yielded", schema)
    else:
        yield _checked(found, f"{reference} {how}", schema)


def _read(found: object) -> Application | None:
    handlers = found if isinstance(found, Handlers) else getattr(found, "handlers", None)
    if not isinstance(handlers, Handlers):
        return None
    return Application(handlers, getattr(found, "periodic_jobs", ()))


def _checked(found: object, subject: str, schema: str) -> Application:
    application = _read(found)
    if application is None:
        reject_setting(_VARIABLE, f"{subject} an object of type {type(found).__name__}: {_EXPECTED}")
    if not application.handlers.handled:
        reject_setting(_VARIABLE, f"{subject} an application without handlers: add at least one")
    # An application enqueues in its own schema, where this worker would never look.
    if (own := getattr(found, "schema", schema)) != schema:
        reject_setting(
            "JOBS_SCHEMA", f"{subject} an application for the schema {own!r}, not {schema!r}: make them equal"
        )
    return application
