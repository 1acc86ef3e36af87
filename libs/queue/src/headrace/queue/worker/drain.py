"""The end of a worker: running jobs end or are released, and what is left to write is written."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from headrace.queue.claiming.rotation import QueueRotation
from headrace.queue.completion.commit_watcher import CommitWatcher
from headrace.queue.completion.completer import Completer
from headrace.queue.completion.progress import Progress
from headrace.queue.errors import DatabaseUnavailableError
from headrace.queue.events.publisher import EventPublisher
from headrace.queue.execution.executor import Executor
from headrace.queue.execution.running_job import Stop
from headrace.queue.worker.registration import Registration

logger = logging.getLogger(__name__)
# How long a drain waits, after its timeout, for the jobs that were told to stop, and then for the last writes.
LAST_STEPS = 2.5
LAST_WRITES = 2.5


async def drain(
    rotation: QueueRotation,
    executor: Executor,
    completer: Completer,
    commit_watcher: CommitWatcher,
    progress: Progress,
    publisher: EventPublisher,
    registration: Registration,
    *,
    within: timedelta,
) -> None:
    """Stops claiming, waits for running jobs for some time, and releases the others. Their attempts don't count."""
    await rotation.stop()
    logger.info("draining: %d jobs are running", executor.running)
    with suppress(TimeoutError):
        await asyncio.wait_for(executor.idle(), within.total_seconds())
    executor.stop_all(Stop.DRAINING)
    try:
        await asyncio.wait_for(executor.idle(), LAST_STEPS)
    except TimeoutError:
        logger.error("%d jobs don't stop and are released: exit this process now", executor.give_up())
    try:
        async with asyncio.timeout(LAST_WRITES):
            await commit_watcher.idle()
            await completer.flushed()
            await progress.flush()
            await publisher.step()
            await registration.end()
    except (TimeoutError, DatabaseUnavailableError):
        left = executor.running + completer.pending
        logger.error("stopped without releasing %d jobs: another worker will rescue them", left)
