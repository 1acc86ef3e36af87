"""What a worker reports with each heartbeat: how many jobs it runs, how fast, and how many more it can take.

The heartbeat thread reads it once a second, from numbers that the worker keeps anyway: nothing is counted per job. The
jobs that have ended are those that were claimed and no longer run.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

# The seconds that a rate looks back: what ended that long ago counts for a third of what ends now.
MEMORY = 60.0
# After this many seconds without work, a rate starts from scratch: it doesn't climb slowly out of the pause.
REST = 5.0


class LoadSource(Protocol):
    """The numbers that a worker keeps. May be read from any thread."""

    @property
    def queues(self) -> Sequence[str]:
        """The worker's queues."""

    @property
    def running(self) -> int:
        """How many jobs are running."""

    def running_in(self, queue: str) -> int:
        """Returns how many jobs of the queue are running."""

    def ended(self, queue: str) -> int:
        """Returns how many attempts of the queue have ended since the worker started."""

    def room(self, queue: str) -> int:
        """Returns how many more jobs of the queue it can take."""


class Rate:
    """How many things happen per second: an exponential mean over about the last minute.

    In its first minute it is the mean since the start, so that it doesn't have to climb from 0.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Starts from scratch."""
        self._mean = 0.0
        self._weight = 0.0

    @property
    def per_second(self) -> float:
        """The rate now; never below 0."""
        return max(self._mean / self._weight, 0.0) if self._weight else 0.0

    def observe(self, happened: int, seconds: float) -> None:
        """Notes how many things happened in the seconds since the last time."""
        if seconds <= 0:
            return
        share = 1 - math.exp(-seconds / MEMORY)
        self._mean += share * (happened / seconds - self._mean)
        self._weight += share * (1 - self._weight)


class LoadMeter:
    """Measures a worker's load.

    Args:
        load: The worker's own numbers.
        clock: Returns seconds that only grow.
    """

    def __init__(self, load: LoadSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._looked_at = clock()
        self._ended = dict.fromkeys(load.queues, 0)
        self._rates = {queue: Rate() for queue in load.queues}
        self._rested = dict.fromkeys(load.queues, math.inf)

    def read(self) -> Mapping[str, Any]:
        """Returns the load, as parameters of beat.sql. To be called by one thread."""
        now = self._clock()
        since, self._looked_at = now - self._looked_at, now
        for queue, rate in self._rates.items():
            ended = self._load.ended(queue)
            works = ended != self._ended[queue] or self._load.running_in(queue) > 0
            if works and self._rested[queue] >= REST:
                rate.begin()
            self._rested[queue] = 0.0 if works else self._rested[queue] + since
            rate.observe(ended - self._ended[queue], since)
            self._ended[queue] = ended
        rates = {queue: round(rate.per_second, 3) for queue, rate in self._rates.items()}
        return {
            "running": self._load.running,
            "rates": json.dumps({queue: rate for queue, rate in rates.items() if rate}),
            "free": json.dumps({queue: self._load.room(queue) for queue in self._rates}),
        }
