"""Which claims of this worker are still open: at least one of their jobs has no outcome in the database yet.

The heartbeat publishes the lowest open claim. If the worker dies, a rescuer reads its jobs from that claim on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from headrace.queue.completion.settled_jobs import Settled


class ClaimTracker:
    """Numbers the claims, and counts the jobs of each whose outcomes are not written yet. Numbers only grow."""

    def __init__(self) -> None:
        self._next = 1
        self._open: dict[int, int] = {}
        """Per claim, how many of its jobs are not settled; 0 while that is not known."""
        self._unanswered: set[int] = set()
        self._unclear: dict[int, float] = {}
        """Claims whose result was lost, with the time of the loss on the monotonic clock."""

    def begin(self) -> int:
        """Returns the number of a claim that is about to be sent."""
        number = self._next
        self._open[number] = 0
        self._unanswered.add(number)
        self._next += 1  # last: see lowest_open
        return number

    def answered(self, number: int, jobs: int) -> None:
        """Notes that a claim returned this many jobs."""
        self._unanswered.discard(number)
        if jobs:
            self._open[number] = jobs
        else:
            self._open.pop(number, None)

    def unclear(self, number: int) -> None:
        """Notes that a claim's result was lost: it may have been committed or rolled back, or may still be running.

        It stays open until `settle_unclear`.
        """
        self._unanswered.discard(number)
        self._unclear[number] = time.monotonic()

    def unclear_since(self, moment: float) -> list[int]:
        """Returns the claims whose results were lost before a moment of the monotonic clock."""
        return [number for number, lost_at in self._unclear.items() if lost_at < moment]

    def settle_unclear(self, number: int) -> None:
        """Notes that the jobs of an unclear claim, if there were any, have been released."""
        self._unclear.pop(number, None)
        self._open.pop(number, None)

    def jobs_settled(self, settled: Sequence[Settled]) -> None:
        """Notes that outcomes of jobs are in the database, or that the jobs no longer belong to this worker."""
        for number, jobs in Counter(job._claim_no for job, _ in settled).items():
            left = self._open.get(number, 0) - jobs
            if left > 0:
                self._open[number] = left
            else:
                self._open.pop(number, None)

    def forget(self) -> None:
        """Closes every claim: none of their jobs belongs to this worker any more. Numbers go on growing."""
        self._open.clear()
        self._unclear.clear()

    @property
    def lowest_open(self) -> int:
        """Every job of a claim below this number is settled. May be read from another thread."""
        upcoming = self._next  # read first: a claim that begins meanwhile is not below it
        return min(tuple(self._open), default=upcoming)

    @property
    def next(self) -> int:
        """The number of the next claim: every claim so far is below it."""
        return self._next

    @property
    def answered_below(self) -> int:
        """Every claim below this number has been answered, or its result was lost."""
        return min(self._unanswered, default=self._next)
