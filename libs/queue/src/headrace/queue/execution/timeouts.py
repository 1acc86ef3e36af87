"""Tells running jobs when their time is up: one look over all of them every 100 ms, and none while nothing runs.

A timer of the event loop per job would strike sooner, and cost each job more than its whole way through the executor.
"""

from __future__ import annotations

import asyncio
import logging
import time

from headrace.queue.execution.running_job import RunningJob, Stop

logger = logging.getLogger(__name__)
STEP = 0.1
# How long after its timeout a handler may tidy up before the log complains, and how often it is told again from then.
OVERDUE = 1.0
AGAIN = 10.0


class TimeoutWatcher:
    """The deadlines of the running jobs. A timeout strikes at most `STEP` seconds late.

    It is never silent: what does not end then, a thread or an `async def` that swallows its cancellation, is told again
    and again, and the log says so.
    """

    def __init__(self) -> None:
        self._timeouts: dict[RunningJob, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, job: RunningJob) -> None:
        """Begins a job's time, all of its timeout from now on."""
        # The event loop's own clock, read directly: this is done for each job.
        job.deadline = self._timeouts[job] = time.monotonic() + job.timeout
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STEP, self._look)

    def forget(self, job: RunningJob) -> None:
        """The job has ended. Where the timeout could not strike, since the handler blocked the event loop, says so."""
        if self._timeouts.pop(job, None) and job.stop_reason is None and (over := time.monotonic() - job.deadline) > 0:
            logger.warning(
                "job %d (%s) ended %.1f s after its timeout, which could not strike: a handler blocked the event loop",
                job.id,
                job.kind.name,
                over,
            )

    def _look(self) -> None:
        now = time.monotonic()
        for job in [job for job, deadline in self._timeouts.items() if deadline <= now]:
            over = now - job.deadline
            if over >= OVERDUE:
                logger.error("job %d (%s) still runs %.0f s after its timeout", job.id, job.kind.name, over)
            if not OVERDUE <= over < AGAIN:
                job.stop(Stop.TIMEOUT)
            self._timeouts[job] = now + (OVERDUE if over < OVERDUE else AGAIN)
        self._timer = asyncio.get_running_loop().call_later(STEP, self._look) if self._timeouts else None
