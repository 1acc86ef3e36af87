"""`headrace worker`: runs a program's handlers."""

from __future__ import annotations

import inspect
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.queue.app import Headrace
from headrace.queue.cli.modules import ObjectNotFoundError, import_object
from headrace.queue.cli.options import DatabaseUrl, reported
from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.execution.handlers import Handlers
from headrace.queue.worker.run import run_worker
from headrace.queue.worker.settings import WorkerSettings

RELOAD = "--reload"
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

worker = typer.Typer(no_args_is_help=True, help="Run workers.")


@worker.callback()
def _worker() -> None:
    """Keeps `run` a subcommand, even while it is the only one."""


@worker.command()
def run(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:APP",
            help="A Headrace app or its Handlers, or a function that returns one; for example shop.jobs:app.",
        ),
    ],
    database_url: DatabaseUrl = "",
    queues: Annotated[
        list[str] | None, typer.Option("--queue", help="A queue to serve; can be repeated. By default all are served.")
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="How many jobs run at the same time.")] = None,
    schema: Annotated[str | None, typer.Option(envvar="JOBS_SCHEMA", help="The installation's schema.")] = None,
    reload: Annotated[bool, typer.Option(RELOAD, help="Restart when a Python file below this folder changes.")] = False,
) -> None:
    """Run jobs until SIGTERM or Ctrl-C, then let running jobs finish."""
    if reload:
        _reload()
        return
    with reported():
        app = load_app(target, schema)
        settings = _settings(app, queues or [], slots)
        if not logging.getLogger().hasHandlers():
            logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
        run_worker(
            database_url,
            app.handlers,
            settings=settings,
            retry=app.retry,
            periodic=app.periodic_jobs,
            schema=app.schema,
        )


def load_app(target: str, schema: str | None) -> Headrace:
    """Returns the app that `module:object` names.

    Args:
        target: An app, handlers, or a function without arguments that returns one.
        schema: The schema that the command was given, if any.

    Raises:
        ObjectNotFoundError: There is no such object, it is something else, or it uses another schema.
    """
    if not all(target.partition(":")):
        raise ObjectNotFoundError(f"{target}: name a module and the app in it, for example shop.jobs:app")
    _, found = import_object(target)
    if inspect.isroutine(found):
        found = found()
    match found:
        case Headrace():
            if schema not in (None, found.schema):
                raise ObjectNotFoundError(
                    f"{target} uses the schema {found.schema!r}, not {schema!r}: make it Headrace(schema={schema!r})"
                )
            return found
        case Handlers():
            return _app_of(found, schema or DEFAULT_SCHEMA)
    raise ObjectNotFoundError(f"{target} is {_described(found)}; give a Headrace app or its Handlers")


def _settings(app: Headrace, queues: list[str], slots: int | None) -> WorkerSettings:
    """The app's settings with what the command was given."""
    settings = app.settings or WorkerSettings()
    if unknown := sorted(set(queues) - set(app.handlers.queues)):
        raise ValueError(
            f"--queue: no handler's kind is in {', '.join(unknown)}; there are {', '.join(app.handlers.queues)}"
        )
    others = {queue: 0 for queue in app.handlers.queues if queues and queue not in queues}
    return replace(settings, slots=slots or settings.slots, queue_slots={**settings.queue_slots, **others})


def _reload() -> None:
    """Runs this very command as a child process, without `--reload`, and restarts it after changes."""
    try:
        from headrace.cli.reload import run_reloading  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        typer.echo(f"headrace: {RELOAD} needs {error.name}: pip install 'headrace-cli[reload]'", err=True)
        raise typer.Exit(1) from None
    words = [word for word in sys.argv[1:] if word != RELOAD]
    run_reloading([sys.executable, "-m", "headrace.cli", *words], Path.cwd())


def _app_of(handlers: Handlers, schema: str) -> Headrace:
    app = Headrace(handlers.kinds, schema=schema)
    app.handlers = handlers
    return app


def _described(found: Any) -> str:
    return f"the class {found.__qualname__}" if isinstance(found, type) else f"of type {type(found).__qualname__}"
