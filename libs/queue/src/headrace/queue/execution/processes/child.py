"""The main program of a handler's process: runs one job after the other, as its worker says, and dies with it.

It never touches the jobs table by itself. What it writes to standard output and error is the worker's.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import faulthandler
import inspect
import os
import pickle
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from opentelemetry import context, propagate

from headrace.queue.execution.attempt_failure import AttemptFailedError
from headrace.queue.execution.middleware import wrapped
from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.processes.protocol import Header, decode_job, encode_frame, encode_outcome, read_frame
from headrace.queue.execution.running_job import Home, RunningJob, enter_job
from headrace.queue.kinds.kind import Kind
from headrace.redaction import begin_redaction, redact

PR_SET_PDEATHSIG = 1
Work = Callable[[Any, RunningJob], Any]
Frames = SimpleQueue[tuple[Header, bytes] | None]


def main(descriptor: int, worker: int) -> None:
    """Serves the worker of that process id over the inherited socket, until it closes its end."""
    _die_with(worker)
    faulthandler.enable()
    # The worker decides when this process ends: a drain that is told to the whole group leaves running jobs alone.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    os.set_inheritable(descriptor, False)
    connection = socket.socket(fileno=descriptor)
    read = connection.makefile("rb").read
    hello = read_frame(read)
    if hello is None:
        return
    head, body = hello
    server = _Server(connection, head["schema"], body)
    frames: Frames = SimpleQueue()
    threading.Thread(target=_read, args=(read, frames, server), name="headrace-frames", daemon=True).start()
    server.send({"ready": True})
    with suppress(BrokenPipeError, ConnectionResetError):  # the worker is gone: nobody wants the answer
        while (frame := frames.get()) is not None:
            server.run(*frame)


class _Server:
    """Runs jobs and answers."""

    def __init__(self, connection: socket.socket, schema: str, handlers: bytes) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._home = Home(schema, lambda _, __, value: self.send({"progress": value}))
        self._works = {name: _load(pickled) for name, pickled in pickle.loads(handlers).items()}  # noqa: S301  (ours)
        self.busy = False

    def send(self, head: Header) -> None:
        """Sends a frame, from any thread."""
        with self._sending:
            self._connection.sendall(encode_frame(head))

    def run(self, head: Header, payload: bytes) -> None:
        """Runs a job and answers what became of it."""
        self.busy = True
        self.send({"begun": True})
        answer = contextvars.Context().run(self._attempt, head, payload)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a handler may have closed it
                stream.flush()
        self.busy = False
        self.send(answer)

    def _attempt(self, head: Header, payload: bytes) -> Header:
        job: RunningJob | None = None
        try:
            kind, work = self._works[head["kind"]]()
            job = decode_job(head, payload, kind, self._home)
            enter_job(job)
            begin_redaction()
            context.attach(propagate.extract(head["context"]))
            message = kind.codec.decode(payload)
            for secret in kind.codec.secrets(message):
                redact(secret)
            _limit_memory(head["memory_limit"])
            try:
                answer = encode_outcome(_call(work, message, job))
            finally:
                _limit_memory(None)
        # Whatever a handler raises is the attempt's outcome.
        except BaseException as error:  # noqa: BLE001
            answer = _failure(error, head["memory_limit"])
        return {**answer, "completed_in": job is not None and job.completed_in}


def _load(pickled: bytes) -> Callable[[], tuple[Kind, Work]]:
    """Imports a handler now. What goes wrong with it is told to each of its jobs, and is no matter for the others."""
    try:
        function, middleware, kind = pickle.loads(pickled)  # noqa: S301  (the worker's own)
    except BaseException as error:  # noqa: BLE001
        failure = AttemptFailedError.of(error)

        def fail() -> tuple[Kind, Work]:
            raise failure

        return fail
    work = wrapped(function, middleware)
    return lambda: (kind, work)


def _call(work: Work, message: Any, job: RunningJob) -> Outcome | None:
    answer = work(message, job)
    if inspect.iscoroutine(answer):
        answer = asyncio.run(answer)
    result: Outcome | None = answer
    return result


def _failure(error: BaseException, memory_limit: int | None) -> Header:
    failure = AttemptFailedError.of(error)
    if isinstance(error, MemoryError) and memory_limit is not None:
        text = f"the attempt needed more than its memory limit of {memory_limit >> 20} MiB"
        failure = AttemptFailedError("memory_limit", text, failure.trace)
    return {"failure": [failure.type, failure.message, failure.trace]}


def _limit_memory(limit: int | None) -> None:
    """Bounds the private memory of this process: an allocation beyond it raises MemoryError where it is made."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if limit is None or (most != resource.RLIM_INFINITY and most < limit):
        limit = most
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _die_with(worker: int) -> None:
    """Asks the kernel to end this process with its worker, whatever a handler is doing. Linux only; see `_read`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it was gone before that
        os._exit(1)


def _read(read: Callable[[int], bytes], frames: Frames, server: _Server) -> None:
    """Passes frames on. When the worker is gone, nothing that still runs here counts any more."""
    while (frame := read_frame(read)) is not None:
        frames.put(frame)
    if server.busy:
        os._exit(1)
    frames.put(None)
