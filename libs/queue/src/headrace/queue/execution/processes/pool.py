"""Runs handlers in child processes, which a timeout can kill and a memory limit can hold.

A process is started when a job needs one, runs one job at a time, and is kept for the next. It is killed, together with
the processes that it has started, if its job was stopped or its handler has broken it. Then another one is started.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from typing import Any

from headrace.queue.execution.attempt_failure import AttemptFailedError
from headrace.queue.execution.handlers import Handler
from headrace.queue.execution.middleware import PlainMiddleware, Work
from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.processes.pickling import pickled
from headrace.queue.execution.processes.process import NotBegunError, Process
from headrace.queue.execution.processes.protocol import encode_frame
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.execution.timeouts import TimeoutWatcher

# How many processes a job may be given that turn out to have died while they were idle.
TRIES = 3


class ProcessPool:
    """The processes of one worker.

    Args:
        schema: The installation's schema.
        timeouts: Watches the jobs' timeouts.
    """

    def __init__(self, schema: str, timeouts: TimeoutWatcher) -> None:
        self._schema = schema
        self._timeouts = timeouts
        self._handlers: dict[str, bytes] = {}
        self._all: set[Process] = set()
        self._idle: list[Process] = []

    def work(self, handler: Handler, middleware: Sequence[PlainMiddleware]) -> Work:
        """Returns a handler, with its plain middleware, as one that can be awaited here and runs in a process."""
        # The function first: its import defines the messages that the kind refers to.
        self._handlers[handler.kind.name] = pickled((handler.function, tuple(middleware), handler.kind))

        async def run(message: Any, job: RunningJob) -> Outcome | None:
            payload = handler.kind.codec.encode(message)
            for _ in range(TRIES):
                process = await self._take(job)
                try:
                    return await process.run(job, payload, handler.memory_limit)
                except NotBegunError:
                    continue
                finally:
                    await self._put_back(process)
            raise AttemptFailedError("process_died", f"{TRIES} processes died before they began the job")

        return run

    async def close(self) -> None:
        """Stops every process: idle ones may exit by themselves, the others are killed."""
        for process in self._all.difference(self._idle):
            process.kill()
        await asyncio.gather(*(process.exit() for process in self._all))
        self._all.clear()
        self._idle.clear()

    async def _take(self, job: RunningJob) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            process.kill()
            self._all.discard(process)
        self._timeouts.forget(job)  # the timeout starts when a process is ready to run the job
        process = await Process.start(encode_frame({"schema": self._schema}, pickle.dumps(self._handlers)))
        self._all.add(process)
        self._timeouts.watch(job)
        return process

    async def _put_back(self, process: Process) -> None:
        if process.fit:
            self._idle.append(process)
            return
        process.kill()
        # The job keeps its slot until nothing of its attempt runs any more, which is at once.
        await asyncio.shield(process.exited)
        self._all.discard(process)
