"""Runs a plan of statements in a caller's own transaction, on any kind of connection.

A plan is a generator. It yields a statement, is sent the statement's rows, and in the end returns a result. An error of
Postgres is thrown into it where it yielded: the plan may raise another error, or continue with other statements. A plan
is written once, without I/O. `run` drives it with blocking I/O, `run_async` with asynchronous I/O.

On a connection in autocommit mode, outside of any transaction, a plan runs in its own transaction, so that it is never
committed in parts; `Query.alone` is the exception. In every other case the caller commits.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any, Concatenate, LiteralString, ParamSpec, TypeVar

import psycopg

from headrace.queue.db.caller_connection import (
    AnyAsyncConnection,
    AnyConnection,
    commits_each,
    psycopg_async_connection,
    psycopg_connection,
)
from headrace.queue.db.cursors import AsyncCursor, Cursor
from headrace.queue.db.statements import hint

Row = Mapping[str, Any]
Result = TypeVar("Result")
Params = ParamSpec("Params")


@dataclass(frozen=True)
class Query:
    """A statement to run."""

    text: LiteralString
    params: Mapping[str, Any]
    alone: bool = False
    """Where this comes first, the plan needs no transaction around it, which saves two round trips.

    It is the only statement, the plan only reads, or each of its statements may be committed by itself.
    """


@dataclass(frozen=True)
class CopyIn:
    """A COPY FROM STDIN with the blocks to stream, from the format's header to its trailer. Returns no rows."""

    text: LiteralString
    blocks: Iterable[bytes]


Plan = Generator[Query | CopyIn, list[Row], Result]


def run(connection: AnyConnection, plan: Plan[Result], *, called: str = "") -> Result:
    """Runs a plan on a blocking connection. Commits nothing that the caller has begun.

    Args:
        connection: The caller's.
        plan: The statements.
        called: The name of the function that a user of the engine called, for errors.

    Raises:
        TypeError: The connection is not a blocking one over psycopg.
    """
    driver = psycopg_connection(connection, called)
    with ExitStack() as transaction, Cursor(driver) as cursor:
        step: Callable[[], Query | CopyIn] = functools.partial(next, plan)
        first = True
        while True:
            try:
                query = step()
            except StopIteration as stop:
                result: Result = stop.value
                return result
            if first and commits_each(driver) and not _is_alone(query):
                transaction.enter_context(driver.transaction())
            first = False
            try:
                _do(cursor, query)
            except psycopg.Error as error:
                hint(error)
                step = functools.partial(plan.throw, error)
            else:
                step = functools.partial(plan.send, list(cursor.fetchall()) if cursor.description else [])


async def run_async(connection: AnyAsyncConnection, plan: Plan[Result], *, called: str = "") -> Result:
    """Runs a plan on an asynchronous connection; see `run`."""
    driver = await psycopg_async_connection(connection, called)
    async with AsyncExitStack() as transaction, AsyncCursor(driver) as cursor:
        step: Callable[[], Query | CopyIn] = functools.partial(next, plan)
        first = True
        while True:
            try:
                query = step()
            except StopIteration as stop:
                result: Result = stop.value
                return result
            if first and commits_each(driver) and not _is_alone(query):
                await transaction.enter_async_context(driver.transaction())
            first = False
            try:
                await _do_async(cursor, query)
            except psycopg.Error as error:
                hint(error)
                step = functools.partial(plan.throw, error)
            else:
                step = functools.partial(plan.send, list(await cursor.fetchall()) if cursor.description else [])


def both(
    plan: Callable[Params, Plan[Result]],
) -> tuple[
    Callable[Concatenate[AnyConnection, Params], Result],
    Callable[Concatenate[AnyAsyncConnection, Params], Coroutine[Any, Any, Result]],
]:
    """Makes the two public forms of a plan: a blocking function and an asynchronous one.

    Each takes a connection, followed by the plan's own arguments:

        def get_job_plan(job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Plan[Job]: ...

        get_job, get_job_async = both(get_job_plan)

    Args:
        plan: A generator function whose name ends in "_plan". Its docstring documents both forms.
    """
    name = plan.__name__.removesuffix("_plan")
    plan.__qualname__ = name  # Python's errors about missing arguments show it

    def blocking(connection: AnyConnection, /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        return run(connection, plan(*args, **kwargs), called=name)

    async def asynchronous(connection: AnyAsyncConnection, /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        return await run_async(connection, plan(*args, **kwargs), called=f"{name}_async")

    _present(blocking, plan, name, "AnyConnection")
    _present(asynchronous, plan, f"{name}_async", "AnyAsyncConnection")
    return blocking, asynchronous


def _present(form: Callable[..., Any], plan: Callable[..., Any], name: str, connection: str) -> None:
    """Gives a form its name, signature and docstring, for `help` and for error messages."""
    functools.update_wrapper(form, plan, assigned=("__module__", "__doc__"))
    form.__name__ = form.__qualname__ = name
    own = inspect.signature(plan)
    first = inspect.Parameter("connection", inspect.Parameter.POSITIONAL_ONLY, annotation=connection)
    result = str(own.return_annotation).removeprefix("Plan[").removesuffix("]")
    signature = own.replace(parameters=[first, *own.parameters.values()], return_annotation=result)
    form.__signature__ = signature  # type: ignore[attr-defined]


def _do(cursor: Cursor, query: Query | CopyIn) -> None:
    if isinstance(query, Query):
        cursor.execute(query.text, query.params)
        return
    with cursor.copy(query.text) as copy:
        for block in query.blocks:
            copy.write(block)


async def _do_async(cursor: AsyncCursor, query: Query | CopyIn) -> None:
    if isinstance(query, Query):
        await cursor.execute(query.text, query.params)
        return
    async with cursor.copy(query.text) as copy:
        for block in query.blocks:
            await copy.write(block)


def _is_alone(query: Query | CopyIn) -> bool:
    return isinstance(query, Query) and query.alone
