"""Releases jobs that the database has as running on this worker, but that the worker doesn't know.

They are left by a claim whose result was lost. The worker is alive, so no rescuer would ever take them.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from headrace.queue.claiming.pipeline import WorkerIdentity
from headrace.queue.claiming.tracker import ClaimTracker
from headrace.queue.completion.completer import Completer, settle_params
from headrace.queue.db.connections import STATEMENT_TIMEOUT, ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.execution.attempt_result import RELEASE
from headrace.queue.execution.executor import Executor

logger = logging.getLogger(__name__)
INTERVAL = timedelta(seconds=15)
# By then the server has cancelled a claim whose client has disconnected.
UNCLEAR_FOR = STATEMENT_TIMEOUT.total_seconds() + 2


class ClaimReconciler:
    """Compares the jobs that the database has as running on this worker with those that it runs.

    Args:
        connection: The connection for maintenance.
        identity: Identifies the worker in the database.
        tracker: Knows which claims are open, and which results were lost.
        executor: Knows the running jobs.
        completer: Knows the outcomes that are not written yet.
        schema: The installation's schema.
    """

    def __init__(
        self,
        connection: ReconnectingConnection,
        identity: WorkerIdentity,
        tracker: ClaimTracker,
        executor: Executor,
        completer: Completer,
        schema: str,
    ) -> None:
        self._connection = connection
        self._identity = identity
        self._tracker = tracker
        self._executor = executor
        self._completer = completer
        self._list_claimed_jobs = statement("list_claimed_jobs", schema)
        self._settle = statement("settle", schema)

    async def step(self) -> None:
        """Compares once. Raises DatabaseUnavailableError."""
        # Before the query: the jobs of these claims are certain to be in its result.
        ended = self._tracker.unclear_since(time.monotonic() - UNCLEAR_FOR)
        params = {
            "worker_id": self._identity.worker_id,
            "claim_floor": self._tracker.lowest_open,
            "before": self._tracker.answered_below,
        }
        rows = await self._connection.execute(self._list_claimed_jobs, params)
        unknown = [
            (row["id"], row["lease"])
            for row in rows
            if not self._executor.holds(row["id"], row["lease"]) and not self._completer.holds(row["id"], row["lease"])
        ]
        if unknown:
            await self._release(unknown)
        for number in ended:
            self._tracker.settle_unclear(number)

    async def _release(self, attempts: list[tuple[int, int]]) -> None:
        params = settle_params([(job_id, lease, RELEASE) for job_id, lease in sorted(attempts)])
        rows = await self._connection.execute(self._settle, params)
        logger.warning("released %d jobs of a claim whose result was lost", len(rows))
