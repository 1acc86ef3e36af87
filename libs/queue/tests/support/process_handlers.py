"""Handlers that run in separate processes: each does one thing that would harm a worker."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import engine_kinds  # noqa: F401  (a process must import what makes its messages known)
import psycopg
from opentelemetry import baggage, trace

from headrace.queue import Cancel, Discard, Done, Retry, RunningJob, Snooze, current_job

MIB = 1024 * 1024
_jobs = 0


def handle(message: Any, job: RunningJob) -> Any:
    """Does what the message's name says."""
    global _jobs  # noqa: PLW0603
    _jobs += 1
    assert current_job() is job
    word, *arguments = message.name.split("|")
    return WAYS[word](job, *arguments)


async def handle_async(message: Any, job: RunningJob) -> Done:
    """An `async def` in a process."""
    await asyncio.sleep(0)
    return Done({"pid": os.getpid()})


def middleware(message: Any, job: RunningJob, call_next: Any) -> Done:
    """Goes around a handler, in its process."""
    outcome = call_next(message, job)
    return Done({"around": outcome.output, "pid": os.getpid()})


def _who(job: RunningJob) -> Done:
    return Done({"pid": os.getpid(), "parent": os.getppid(), "jobs": _jobs})


def _context(job: RunningJob) -> Done:
    span = trace.get_current_span().get_span_context()
    return Done(
        {
            "job": [job.id, job.lease, job.attempt, job.max_retries, job.queue, job.kind.name, job.caller],
            "remaining": job.remaining,
            "traceparent": job.traceparent,
            "span": f"{span.trace_id:032x}-{span.span_id:016x}",
            "tenant": baggage.get_baggage("tenant"),
        }
    )


def _spin(job: RunningJob, pid_file: str) -> None:
    """Uses the processor without a pause, deaf to everything, with a child process beside it."""
    child = subprocess.Popen(["sleep", "600"])
    with open(pid_file, "w") as file:  # noqa: PTH123
        file.write(f"{os.getpid()} {child.pid}\n")
    while True:
        pass


def _sleep(job: RunningJob, pid_file: str) -> None:
    with open(pid_file, "w") as file:  # noqa: PTH123
        file.write(f"{os.getpid()}\n")
    time.sleep(600)


def _eat(job: RunningJob) -> None:
    held = []
    while True:
        held.append(bytearray(MIB))


def _eat_shared(job: RunningJob) -> None:
    """Memory that the process's own limit doesn't count."""
    held = mmap.mmap(-1, 400 * MIB)
    for page in range(0, 400 * MIB, 4096):
        held[page] = 1
    time.sleep(600)


def _grow(job: RunningJob) -> Done:
    """A leak: within its limit, but it stays."""
    _leak.append(bytearray(60 * MIB))
    return Done(os.getpid())


_leak: list[bytearray] = []


def _crash(job: RunningJob) -> None:
    ctypes.string_at(0)


def _exit(job: RunningJob) -> None:
    os._exit(3)


def _raise(job: RunningJob) -> None:
    raise LookupError("no such guest")


def _progress(job: RunningJob) -> None:
    for done in range(3):
        job.report_progress({"done": done})


def _complete(job: RunningJob, dsn: str, way: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into effects values (%s)", (job.id,))
        job.complete_in(connection, output="from the process")
        if way == "roll back":
            connection.rollback()


def _outcome(job: RunningJob, name: str) -> Any:
    return OUTCOMES[name]


OUTCOMES: dict[str, Any] = {
    "nothing": None,
    "done": Done([1, None, {"a": "b"}]),
    "retry": Retry("again", after=timedelta(hours=1)),
    "snooze": Snooze(timedelta(hours=1)),
    "cancel": Cancel("not wanted"),
    "discard": Discard("hopeless"),
    "a word": "done",
    "no json": Done(object()),
}

WAYS: dict[str, Callable[..., Any]] = {
    "who": _who,
    "context": _context,
    "spin": _spin,
    "sleep": _sleep,
    "eat": _eat,
    "eat shared": _eat_shared,
    "grow": _grow,
    "crash": _crash,
    "exit": _exit,
    "raise": _raise,
    "progress": _progress,
    "complete": _complete,
    "outcome": _outcome,
}
