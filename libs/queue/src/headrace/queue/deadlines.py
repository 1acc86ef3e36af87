"""Tells running jobs when their time is up: one look over all of them every 100 ms, and none while nothing runs.

A timer of the event loop per job would strike sooner, and cost each job more than its whole way through the executor.
"""

from __future__ import annotations

import asyncio

from headrace.queue.running import RunningJob, Stop

STEP = 0.1


class Deadlines:
    """The deadlines of the running jobs. A timeout strikes at most `STEP` seconds late, and only once."""

    def __init__(self) -> None:
        self._deadlines: dict[RunningJob, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, job: RunningJob) -> None:
        """Begins a job's time, all of its timeout from now on."""
        loop = asyncio.get_running_loop()
        job.deadline = self._deadlines[job] = loop.time() + job.timeout
        if self._timer is None:
            self._timer = loop.call_later(STEP, self._look)

    def forget(self, job: RunningJob) -> None:
        """The job has ended."""
        self._deadlines.pop(job, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for job in [job for job, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[job]
            job.stop(Stop.TIMEOUT)
        self._timer = loop.call_later(STEP, self._look) if self._deadlines else None
