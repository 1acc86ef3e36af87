"""Stops running jobs at their timeouts: one check of all of them every 100 ms, and none while no job runs.

A timer per job would strike sooner, but it would cost each job more than all the rest of its execution.
"""

from __future__ import annotations

import asyncio
import logging
import time

from headrace.queue.execution.running_job import RunningJob, Stop

logger = logging.getLogger(__name__)
STEP = 0.1
# How long a handler may clean up after its timeout before the log reports it, and how often it is told again then.
OVERDUE = 1.0
AGAIN = 10.0


class TimeoutWatcher:
    """The deadlines of the running jobs. A timeout strikes at most `STEP` seconds late.

    A job that doesn't stop then, in a thread or in an `async def` that swallows its cancellation, is told again and
    again, and logged each time.
    """

    def __init__(self) -> None:
        self._timeouts: dict[RunningJob, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, job: RunningJob) -> None:
        """Starts a job's timeout."""
        # Reads the event loop's own clock directly, because this is done for each job.
        job.deadline = self._timeouts[job] = time.monotonic() + job.timeout
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STEP, self._check)

    def forget(self, job: RunningJob) -> None:
        """Stops a job's timeout. Logs it if the timeout should have struck, but a handler blocked the event loop."""
        if self._timeouts.pop(job, None) and job.stop_reason is None and (over := time.monotonic() - job.deadline) > 0:
            logger.warning(
                "job %d (%s) ended %.1f s after its timeout, which could not strike: a handler blocked the event loop",
                job.id,
                job.kind.name,
                over,
            )

    def _check(self) -> None:
        now = time.monotonic()
        for job in [job for job, deadline in self._timeouts.items() if deadline <= now]:
            over = now - job.deadline
            if over >= OVERDUE:
                logger.error("job %d (%s) still runs %.0f s after its timeout", job.id, job.kind.name, over)
            # A check that comes late, after a blocked event loop, finds jobs overdue that nothing has stopped yet.
            if job.stop_reason is None or not OVERDUE <= over < AGAIN:
                job._stop(Stop.TIMEOUT)
            self._timeouts[job] = now + (OVERDUE if over < OVERDUE else AGAIN)
        self._timer = asyncio.get_running_loop().call_later(STEP, self._check) if self._timeouts else None
