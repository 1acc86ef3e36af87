"""How many jobs a worker runs, and how many more it can take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from headrace.queue.completion.completer import Completer
from headrace.queue.execution.executor import Executor

# While more outcomes than this wait to be written, nothing is claimed: memory is bounded.
MOST_PENDING = 20_000


class Slots:
    """The slots of a worker, which all of its queues share. May be read from any thread.

    Args:
        executor: Its running jobs occupy slots.
        completer: While too many of its outcomes wait to be written, no slot is free.
        queues: The worker's queues, sorted.
        slots: How many jobs run at once.
        queue_slots: At most how many of the slots a queue may occupy; a queue that isn't named may occupy all.
    """

    def __init__(
        self,
        executor: Executor,
        completer: Completer,
        queues: Sequence[str],
        *,
        slots: int,
        queue_slots: Mapping[str, int],
    ) -> None:
        self.queues = queues
        self._executor = executor
        self._completer = completer
        self._slots = slots
        self._queue_slots = queue_slots
        self._expected: Counter[str] = Counter()
        self._claimed: Counter[str] = Counter()
        self._closed = False

    @property
    def running(self) -> int:
        """How many jobs are running."""
        return self._executor.running

    def running_in(self, queue: str) -> int:
        """Returns how many jobs of the queue are running."""
        return self._executor.running_in(queue)

    def ended(self, queue: str) -> int:
        """Returns how many attempts of the queue have ended. During a claim it may be off by the claim's jobs."""
        return self._claimed[queue] - self._executor.running_in(queue)

    def room(self, queue: str) -> int:
        """Returns how many more jobs of the queue can be claimed."""
        if self._closed or self._completer.pending > MOST_PENDING:
            return 0
        free = self._slots - self._executor.running - self._expected.total()
        occupied = self._executor.running_in(queue) + self._expected[queue]
        return max(0, min(free, self._queue_slots.get(queue, self._slots) - occupied))

    def expect(self, queue: str, jobs: int) -> None:
        """Reserves slots for jobs that a claim has returned but that have not been decoded yet."""
        self._expected[queue] += jobs

    def arrived(self, queue: str, jobs: int) -> None:
        """Notes that the executor has taken expected jobs."""
        self._expected[queue] -= jobs
        self._claimed[queue] += jobs

    def close(self) -> None:
        """Leaves no room for further jobs."""
        self._closed = True
