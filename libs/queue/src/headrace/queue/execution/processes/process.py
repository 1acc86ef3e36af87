"""One handler's process, as the worker sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from headrace.queue.execution.attempt_failure import AttemptFailedError
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

# Including the imports of all handlers. It is not part of the job's timeout.
START_WITHIN = 60.0
EXIT_WITHIN = 5.0
WATCH_EVERY = 0.1
# A process is replaced after this many jobs, which bounds small memory leaks.
MOST_JOBS = 1_000
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from headrace.queue.execution.processes.child import main; "
    "main({descriptor}, {worker})"
)


class NotBegunError(Exception):
    """The process died before it began the job."""


class Process:
    """A child process that runs one job at a time. Made by `start`."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._jobs = 0
        self._over_limit = ""
        self.fit = True
        """Whether it can run another job."""
        self.exited = self._loop.create_task(process.wait())
        # A process that the handler has forked may hold the other end of the socket open.
        self.exited.add_done_callback(lambda _: self._loop.call_later(0.5, writer.transport.abort))

    @classmethod
    async def start(cls, hello: bytes) -> Process:
        """Starts a process. Returns it when it has imported every handler. Raises AttemptFailedError."""
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            program = _PROGRAM.format(path=sys.path, descriptor=descriptor, worker=os.getpid())
            # In a new session: the terminal's signals reach the worker only, and its children can be killed together.
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
        """Whether it is running, as far as is known."""
        return not self.exited.done() and not self._reader.at_eof()

    async def run(self, job: RunningJob, payload: bytes, memory_limit: int | None) -> Outcome | None:
        """Runs a job. If this call ends early for any reason, the process is not fit for another one.

        Raises:
            AttemptFailedError: The handler raised an exception, exceeded its memory limit, or terminated its process.
            NotBegunError: The process died before it began the job.
        """
        self.fit = False
        self._jobs += 1
        watch = None if memory_limit is None else self._loop.create_task(self._watch(memory_limit))
        try:
            head = await self._reply(job, payload, memory_limit)
        finally:
            if watch is not None:
                watch.cancel()
        job._completed_in = head["completed_in"]
        too_full = memory_limit is not None and memory_of(self._process.pid) > memory_limit // 2
        if "failure" in head:
            failure = AttemptFailedError(*head["failure"])
            self.fit = failure.type != "memory_limit" and not too_full and self._jobs < MOST_JOBS
            raise failure
        outcome = decode_outcome(head)
        self.fit = not too_full and self._jobs < MOST_JOBS
        return outcome

    def kill(self) -> None:
        """Kills it, and the processes that its handler has started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._writer.close()

    async def exit(self) -> None:
        """Lets it exit, or kills it if that takes too long."""
        self._writer.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.exited), EXIT_WITHIN)
        self.kill()
        await self.exited

    async def _reply(self, job: RunningJob, payload: bytes, memory_limit: int | None) -> Header:
        begun = False
        try:
            self._writer.write(encode_frame(encode_job(job, memory_limit), payload))
            while True:
                head = await read_frame_async(self._reader)
                if "begun" in head:
                    begun = True
                elif "progress" in head:
                    job._report_progress(job.id, job.lease, head["progress"])
                else:
                    return head
        except BrokenFrameError:
            raise AttemptFailedError("process_died", "the handler has written to the engine's socket") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            if not begun:
                raise NotBegunError from None
            raise await self._death("it died with the job") from None

    async def _death(self, what: str) -> AttemptFailedError:
        """Returns why the process is not running any more."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.exited), 1.0)
        self.kill()  # it may have closed its end of the socket and run on
        code = await asyncio.shield(self.exited)
        if self._over_limit:
            return AttemptFailedError("memory_limit", f"the attempt {self._over_limit}")
        how = f"exited with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return AttemptFailedError("process_died", f"{what}: process {self._process.pid} {how}")

    async def _watch(self, memory_limit: int) -> None:
        """Checks the memory that the process uses. Its own limit doesn't count memory that it shares."""
        while (used := memory_of(self._process.pid)) <= memory_limit:  # noqa: ASYNC110  (the kernel sends no event)
            await asyncio.sleep(WATCH_EVERY)
        self._over_limit = f"used {used >> 20} MiB, more than its memory limit of {memory_limit >> 20} MiB"
        self.kill()


def memory_of(pid: int) -> int:
    """Returns the bytes that a process uses: private and shared memory, resident or swapped, no files. Linux only."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    sizes = dict(line.split(":", 1) for line in lines)
    return sum(int(sizes.get(name, "0").split()[0]) for name in ("RssAnon", "RssShmem", "VmSwap")) * 1024
