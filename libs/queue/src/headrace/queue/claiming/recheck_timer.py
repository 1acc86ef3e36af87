"""How long a worker goes on looking at a line after it has been woken, before it lets itself be woken again.

Notifications are coalesced: one tells of everything that comes into line within 5 ms, or within a twentieth of a second
where other queues keep the notifications busy (see `wake` in the migrations). So whoever was woken, or found something,
looks again by itself, soon at first, then less and less often, for longer than that: what comes after a gap waits for a
fifth of that gap at most. A worker that finds nothing any more sleeps until the next notification, or its poll.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable

# Three times as long as one notification may stand for others: also a transaction that needs a tenth of a second after
# its jobs were accepted is found awake.
WATCH = 0.15
FIRST_LOOK, OF_THE_GAP = 0.002, 0.2


def notification_slot(queue: str) -> str:
    """Queues of the same slot share their notifications; the same as in `wake`."""
    return hashlib.md5(queue.encode(), usedforsecurity=False).hexdigest()[0]


class RecheckTimer:
    """The lines that are being watched, and when to look at each again."""

    def __init__(self, queues: Iterable[str]) -> None:
        self._looks: dict[str, tuple[float, float]] = {}
        """Per queue: when to look next, and since when nothing has come."""
        self._by_slot: dict[str, list[str]] = {}
        for queue in queues:
            self._by_slot.setdefault(notification_slot(queue), []).append(queue)

    def queues_sharing_slot(self, queue: str) -> list[str]:
        """Those of the worker's queues that a notification of this one stands for."""
        return self._by_slot.get(notification_slot(queue), [])

    def woken(self, queue: str) -> None:
        """Something came, or may have come, into this line."""
        now = time.monotonic()
        self._looks[queue] = (now + FIRST_LOOK, now)

    def found_nothing(self, queue: str) -> None:
        """There was nothing more in it: looks again later, if the watch is not over."""
        if queue in self._looks:
            now, (_, since) = time.monotonic(), self._looks[queue]
            if now - since >= WATCH:
                del self._looks[queue]
                return
            self._looks[queue] = (now + max(FIRST_LOOK, (now - since) * OF_THE_GAP), since)

    def due(self) -> list[str]:
        """The queues to look at now; each is named once, and again only after it was looked at."""
        now = time.monotonic()
        due = [queue for queue, (look_at, _) in self._looks.items() if look_at <= now]
        for queue in due:
            self._looks[queue] = (float("inf"), self._looks[queue][1])
        return due

    @property
    def next_look(self) -> float:
        """When the next look is due, on the monotonic clock; infinity when nothing is watched."""
        return min((look_at for look_at, _ in self._looks.values()), default=float("inf"))
