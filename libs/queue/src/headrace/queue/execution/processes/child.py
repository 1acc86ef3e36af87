"""The program of a handler's process: runs the jobs that its worker sends, one after the other, and exits with it.

It doesn't access the jobs table. It shares the worker's standard output and error.
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

from opentelemetry import context

from headrace.queue import tracing
from headrace.queue.execution.attempt_failure import AttemptFailedError
from headrace.queue.execution.middleware import wrapped
from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.processes.protocol import Header, decode_job, encode_frame, encode_outcome, read_frame
from headrace.queue.execution.running_job import RunningJob, enter_job
from headrace.queue.job import TraceParent
from headrace.queue.kinds.kind import Kind
from headrace.redaction import begin_redaction, redact

PR_SET_PDEATHSIG = 1
Work = Callable[[Any, RunningJob], Any]
Frames = SimpleQueue[tuple[Header, bytes] | None]


def main(descriptor: int, worker: int) -> None:
    """Runs jobs for the worker with that process id, over the inherited socket, until the worker closes its end."""
    _die_with(worker)
    faulthandler.enable()
    # Only the worker stops this process. A signal to the whole process group, for a drain, doesn't interrupt its job.
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
    with suppress(BrokenPipeError, ConnectionResetError):  # the worker has died and needs no reply
        while (frame := frames.get()) is not None:
            server.run(*frame)


class _Server:
    """Runs jobs and replies with their outcomes."""

    def __init__(self, connection: socket.socket, schema: str, handlers: bytes) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._schema = schema
        self._works = {name: _load(pickled) for name, pickled in pickle.loads(handlers).items()}  # noqa: S301  (the worker's own)
        self.busy = False

    def send(self, head: Header) -> None:
        """Sends a frame, from any thread."""
        with self._sending:
            self._connection.sendall(encode_frame(head))

    def run(self, head: Header, payload: bytes) -> None:
        """Runs a job and sends its outcome."""
        self.busy = True
        self.send({"begun": True})
        reply = contextvars.Context().run(self._attempt, head, payload)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # the handler may have closed it
                stream.flush()
        self.busy = False
        self.send(reply)

    def _attempt(self, head: Header, payload: bytes) -> Header:
        job: RunningJob | None = None
        try:
            kind, work = self._works[head["kind"]]()
            job = decode_job(head, payload, kind, schema=self._schema, report_progress=self._report_progress)
            enter_job(job)
            begin_redaction()
            context.attach(tracing.context_of(TraceParent(*head["context"])))
            message = kind.codec.decode(payload)
            for secret in kind.codec.secrets(message):
                redact(secret)
            _limit_memory(head["memory_limit"])
            try:
                reply = encode_outcome(_call(work, message, job))
            finally:
                _limit_memory(None)
        # Any exception of the handler is the attempt's outcome.
        except BaseException as error:  # noqa: BLE001
            reply = _failure(error, head["memory_limit"])
        return {**reply, "completed_in": job is not None and job._completed_in}

    def _report_progress(self, _job_id: int, _lease: int, progress: str) -> None:
        self.send({"progress": progress})


def _load(pickled: bytes) -> Callable[[], tuple[Kind, Work]]:
    """Imports a handler. If that fails, each of its jobs fails with the error; other handlers are not affected."""
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
    returned = work(message, job)
    if inspect.iscoroutine(returned):
        returned = asyncio.run(returned)
    outcome: Outcome | None = returned
    return outcome


def _failure(error: BaseException, memory_limit: int | None) -> Header:
    failure = AttemptFailedError.of(error)
    if isinstance(error, MemoryError) and memory_limit is not None:
        text = f"the attempt needed more than its memory limit of {memory_limit >> 20} MiB"
        failure = AttemptFailedError("memory_limit", text, failure.trace)
    return {"failure": [failure.type, failure.message, failure.trace]}


def _limit_memory(limit: int | None) -> None:
    """Limits the private memory of this process. An allocation beyond the limit raises MemoryError."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if limit is None or (most != resource.RLIM_INFINITY and most < limit):
        limit = most
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _die_with(worker: int) -> None:
    """Has the kernel kill this process when its worker dies, whatever its handler is doing. Linux only; see `_read`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it died before that
        os._exit(1)


def _read(read: Callable[[int], bytes], frames: Frames, server: _Server) -> None:
    """Passes frames on. If the worker dies while a handler runs, exits: the job's outcome would not count."""
    while (frame := read_frame(read)) is not None:
        frames.put(frame)
    if server.busy:
        os._exit(1)
    frames.put(None)
