"""Runs handlers in processes of their own, where a timeout really ends them and a memory limit holds.

A process is made when it is needed, runs one job at a time, and is kept for the next. One whose job was stopped, or
whose handler has broken it, is killed, with what it has started, and another takes its place.
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.queue.execution.attempt_failure import AttemptFailedError
from headrace.queue.execution.handlers import Handler
from headrace.queue.execution.middleware import PlainMiddleware, Work
from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.processes.protocol import (
    BrokenFrameError,
    Header,
    decode_outcome,
    encode_frame,
    encode_job,
    read_frame_async,
)
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.execution.timeouts import TimeoutWatcher
from headrace.queue.kinds.message_class import is_message_class

if TYPE_CHECKING:
    from google.protobuf.message import Message

# With the imports of every handler. It is not a part of the job's own time.
START_WITHIN = 60.0
LEAVE_WITHIN = 5.0
WATCH_EVERY = 0.1
# What leaks a little with each job is given back now and then.
MOST_JOBS = 1_000
# How often a job may meet a process that has died in its sleep.
TRIES = 3
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from headrace.queue.execution.processes.child import main; "
    "main({descriptor}, {worker})"
)


class ProcessPool:
    """The processes of one worker.

    Args:
        schema: The installation's schema.
        deadlines: The watch over the jobs' timeouts.
    """

    def __init__(self, schema: str, timeouts: TimeoutWatcher) -> None:
        self._schema = schema
        self._timeouts = timeouts
        self._handlers: dict[str, bytes] = {}
        self._all: set[_Process] = set()
        self._idle: list[_Process] = []

    def work(self, handler: Handler, middleware: Sequence[PlainMiddleware]) -> Work:
        """Makes a handler one that is awaited here and runs there, with its middleware."""
        # Once the function is imported, its messages are known.
        self._handlers[handler.kind.name] = _pickled((handler.function, tuple(middleware), handler.kind))

        async def run(message: Any, job: RunningJob) -> Outcome | None:
            payload = handler.kind.codec.encode(message)
            for _ in range(TRIES):
                process = await self._take(job)
                try:
                    return await process.run(job, payload, handler.memory_limit)
                except _NotBegunError:
                    continue
                finally:
                    await self._give_back(process)
            raise AttemptFailedError("process_died", f"{TRIES} processes died before the job had begun")

        return run

    async def close(self) -> None:
        """Ends every process: those that rest may leave by themselves, the others are killed."""
        for process in self._all.difference(self._idle):
            process.kill()
        await asyncio.gather(*(process.leave() for process in self._all))
        self._all.clear()
        self._idle.clear()

    async def _take(self, job: RunningJob) -> _Process:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            process.kill()
            self._all.discard(process)
        self._timeouts.forget(job)  # its time begins when there is somebody to run it
        process = await _Process.start(encode_frame({"schema": self._schema}, pickle.dumps(self._handlers)))
        self._all.add(process)
        self._timeouts.watch(job)
        return process

    async def _give_back(self, process: _Process) -> None:
        if process.fit:
            self._idle.append(process)
            return
        process.kill()
        # The slot is free when nothing of the attempt runs any more. That is at once.
        await asyncio.shield(process.exited)
        self._all.discard(process)


class _NotBegunError(Exception):
    """The process had died before it took the job."""


class _Process:
    """One of them, from outside."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._jobs = 0
        self._too_much = ""
        self.fit = True
        """Whether it can take another job."""
        self.exited = self._loop.create_task(process.wait())
        # Something that the handler has forked may hold the other end open.
        self.exited.add_done_callback(lambda _: self._loop.call_later(0.5, writer.transport.abort))

    @classmethod
    async def start(cls, hello: bytes) -> _Process:
        """A new one that has imported every handler. Raises AttemptFailedError."""
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            program = _PROGRAM.format(path=sys.path, descriptor=descriptor, worker=os.getpid())
            # A session of its own: the terminal's signals are for the worker, and what handlers start is in its group.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                program,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[descriptor],
                start_new_session=True,
            )
        self = cls(process, *await asyncio.open_connection(sock=ours))
        try:
            async with asyncio.timeout(START_WITHIN):
                self._writer.write(hello)
                await read_frame_async(self._reader)
        except TimeoutError:
            self.kill()
            raise AttemptFailedError("process_died", f"it did not start within {START_WITHIN:g} s") from None
        except (asyncio.IncompleteReadError, BrokenFrameError, ConnectionError):
            raise await self._death("it did not start") from None
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def alive(self) -> bool:
        """Whether it is there, as far as is known."""
        return not self.exited.done() and not self._reader.at_eof()

    async def run(self, job: RunningJob, payload: bytes, memory_limit: int | None) -> Outcome | None:
        """Runs a job. Whatever ends this call early leaves the process unfit.

        Raises:
            AttemptFailedError: The handler has raised, went beyond its memory limit, or has ended its process.
        """
        self.fit = False
        self._jobs += 1
        watch = None if memory_limit is None else self._loop.create_task(self._watch(memory_limit))
        try:
            head = await self._answer(job, payload, memory_limit)
        finally:
            if watch is not None:
                watch.cancel()
        job.completed_in = head["completed_in"]
        too_full = memory_limit is not None and memory_of(self._process.pid) > memory_limit // 2
        if "failure" in head:
            failure = AttemptFailedError(*head["failure"])
            self.fit = failure.type != "memory_limit" and not too_full and self._jobs < MOST_JOBS
            raise failure
        outcome = decode_outcome(head)
        self.fit = not too_full and self._jobs < MOST_JOBS
        return outcome

    def kill(self) -> None:
        """Ends it now, with what its handler has started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._writer.close()

    async def leave(self) -> None:
        """Lets it end by itself, or ends it when that takes too long."""
        self._writer.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.exited), LEAVE_WITHIN)
        self.kill()
        await self.exited

    async def _answer(self, job: RunningJob, payload: bytes, memory_limit: int | None) -> Header:
        begun = False
        try:
            self._writer.write(encode_frame(encode_job(job, memory_limit), payload))
            while True:
                head = await read_frame_async(self._reader)
                if "begun" in head:
                    begun = True
                elif "progress" in head:
                    assert job.home is not None
                    job.home.report(job.id, job.lease, head["progress"])
                else:
                    return head
        except BrokenFrameError:
            raise AttemptFailedError(
                "process_died", "something else than the engine has written to its socket"
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            if not begun:
                raise _NotBegunError from None
            raise await self._death("it died with the job") from None

    async def _death(self, what: str) -> AttemptFailedError:
        """Why it is gone."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.exited), 1.0)
        self.kill()  # it may have closed its end and live on
        code = await asyncio.shield(self.exited)
        if self._too_much:
            return AttemptFailedError("memory_limit", f"the attempt {self._too_much}")
        how = f"exited with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        return AttemptFailedError("process_died", f"{what}: process {self._process.pid} {how}")

    async def _watch(self, memory_limit: int) -> None:
        """Looks at what the process uses, for what its own limit doesn't count: memory that it shares."""
        while (used := memory_of(self._process.pid)) <= memory_limit:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(WATCH_EVERY)
        self._too_much = f"used {used >> 20} MiB, more than its memory limit of {memory_limit >> 20} MiB"
        self.kill()


def memory_of(pid: int) -> int:
    """The bytes that a process uses: private and shared memory, in place or swapped out, without files. Linux only."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    sizes = dict(line.split(":", 1) for line in lines)
    return sum(int(sizes.get(name, "0").split()[0]) for name in ("RssAnon", "RssShmem", "VmSwap")) * 1024


class _Pickler(pickle.Pickler):
    """Protobuf classes go by their full name: not every one can be imported."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, type) and is_message_class(thing):
            return message_class, (thing.__module__, thing.DESCRIPTOR.full_name)
        return NotImplemented


def _pickled(thing: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(thing)
    return file.getvalue()


def message_class(module: str, full_name: str) -> type[Message]:
    """The class of a message, in the process; its module is imported if there is one."""
    from google.protobuf import descriptor_pool  # noqa: PLC0415  (only handlers of messages need protobuf)
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    if module:
        with suppress(ModuleNotFoundError):
            import_module(module)
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))
