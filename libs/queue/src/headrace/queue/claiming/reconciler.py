"""Compares what the database says this worker runs with what it does run.

They differ after a claim whose answer got lost: its jobs are leased to a process that knows nothing of them and, being
alive, would never be rescued. What is found so is handed back, the attempt unspent.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from headrace.queue.claiming.producer import Producer, WorkerIdentity
from headrace.queue.claiming.tracker import ClaimTracker
from headrace.queue.completion.completer import Completer, settle_params
from headrace.queue.db.connections import STATEMENT_TIMEOUT, ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.execution.attempt_result import RELEASE
from headrace.queue.execution.executor import Executor

logger = logging.getLogger(__name__)
INTERVAL = timedelta(seconds=15)
# By then the server has broken off a claim whose client went away.
UNCLEAR_FOR = STATEMENT_TIMEOUT.total_seconds() + 2


class ClaimReconciler:
    """The worker's look at its own books."""

    def __init__(
        self,
        link: ReconnectingConnection,
        identity: WorkerIdentity,
        tracker: ClaimTracker,
        executor: Executor,
        completer: Completer,
        producer: Producer,
        schema: str,
    ) -> None:
        self._link = link
        self._identity = identity
        self._tracker = tracker
        self._executor = executor
        self._completer = completer
        self._producer = producer
        self._held = statement("list_claimed_jobs", schema)
        self._settle = statement("settle", schema)

    async def step(self) -> None:
        """Looks once. Raises DatabaseUnavailableError."""
        began = time.monotonic()
        unclear = tuple(self._producer.unclear.items())
        params = {
            "worker_id": self._identity.worker_id,
            "claim_floor": self._tracker.lowest_open,
            "before": self._tracker.answered_below,
        }
        rows = await self._link.execute(self._held, params)
        strays = [
            (row["id"], row["lease"])
            for row in rows
            if not self._executor.holds(row["id"], row["lease"]) and not self._completer.holds(row["id"], row["lease"])
        ]
        if strays:
            await self._hand_back(strays)
        for number, lost_at in unclear:
            if began - lost_at > UNCLEAR_FOR:
                self._producer.unclear.pop(number, None)
                self._tracker.settle_unclear(number)

    async def _hand_back(self, strays: list[tuple[int, int]]) -> None:
        params = settle_params([(job_id, lease, RELEASE) for job_id, lease in sorted(strays)])
        rows = await self._link.execute(self._settle, params)
        logger.warning("%d jobs of a claim whose answer got lost are handed back", len(rows))
