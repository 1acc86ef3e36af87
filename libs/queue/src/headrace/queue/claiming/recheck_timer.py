"""Decides when a worker claims from a queue again without a notification, after it was woken or has found a job.

`wake` sends one notification for all jobs that become available within 5 ms, or within 50 ms while notifications of
other queues are frequent (see db/functions/wake.sql). A transaction that sends none relies on a worker that is awake.
So a worker rechecks a queue that it was woken for, soon at first and then less and less often, for longer than those
50 ms: a job waits for at most a fifth of the time since the job before it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable

# Three times the window in which one notification covers others. So the worker is still awake for a transaction that
# commits a tenth of a second after it has enqueued its jobs.
WATCH = 0.15
FIRST_LOOK, OF_THE_GAP = 0.002, 0.2


def notification_slot(queue: str) -> str:
    """Returns the slot of a queue. Queues in one slot share their notifications. `wake` computes the same slot."""
    return hashlib.md5(queue.encode(), usedforsecurity=False).hexdigest()[0]


class RecheckTimer:
    """The queues that are being rechecked, and when each is due."""

    def __init__(self, queues: Iterable[str]) -> None:
        self._looks: dict[str, tuple[float, float]] = {}
        """Per queue: the time of the next recheck, and of the last wake-up or job."""
        self._by_slot: dict[str, list[str]] = {}
        for queue in queues:
            self._by_slot.setdefault(notification_slot(queue), []).append(queue)

    def queues_sharing_slot(self, queue: str) -> list[str]:
        """Returns the worker's queues that a notification of this queue may be about."""
        return self._by_slot.get(notification_slot(queue), [])

    def woken(self, queue: str) -> None:
        """Notes that jobs of the queue became available, or may have."""
        now = time.monotonic()
        self._looks[queue] = (now + FIRST_LOOK, now)

    def found_nothing(self, queue: str) -> None:
        """Notes that a claim found no jobs: the next recheck is later, or there is none."""
        if queue in self._looks:
            now, (_, since) = time.monotonic(), self._looks[queue]
            if now - since >= WATCH:
                del self._looks[queue]
                return
            self._looks[queue] = (now + max(FIRST_LOOK, (now - since) * OF_THE_GAP), since)

    def due(self) -> list[str]:
        """Returns the queues to recheck now. Each is returned once, until the result of its claim is noted."""
        now = time.monotonic()
        due = [queue for queue, (look_at, _) in self._looks.items() if look_at <= now]
        for queue in due:
            self._looks[queue] = (float("inf"), self._looks[queue][1])
        return due

    @property
    def next_look(self) -> float:
        """When the next recheck is due, on the monotonic clock; infinity if there is none."""
        return min((look_at for look_at, _ in self._looks.values()), default=float("inf"))
