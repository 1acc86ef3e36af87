"""Group commit: calls for one job each that arrive together are enqueued in one transaction, and answered after it.

While a transaction is under way, calls wait; when it has committed, the next one takes all that wait. A call that
arrives alone has its own transaction at once. After a group, the server pauses for more calls to arrive: those it has
just answered call again, and calls that share a commit cost the server and Postgres less. The numbers below are for
that pause; the bench case `Enqueue` (`make bench ONLY=rpc`, bench/rpc) measures what it gains. No call pays for another
one:

- If a group fails, each of its calls is retried alone.
- A call that waits for a lock of another transaction, which has its key and is not committed, waits alone, and the
  others go on.
- A call that is cancelled before the commit leaves no job: the transaction is rolled back.
"""

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from typing import Any

import psycopg

from headrace.queue import DatabaseUnavailableError, Enqueued, EnqueueError, Enqueuer, ValidatedJob
from jobs_service.database import Connection, Database

GROUP_JOBS = 200
"""The most jobs of one group, which bounds how long its calls wait for each other."""
ENOUGH_CALLS = 24
"""The pause ends when so many calls wait."""
GATHERING = 0.01
"""The longest pause, in seconds."""
LARGE_GROUP = 16
"""After a group of so many calls, with others waiting, more are certain to arrive."""
POLL_INTERVAL = 0.001
"""The seconds between two looks after a large group: to look in each turn of the event loop would cost much."""
IDLE_POLLS = 2
"""After so many looks without a new call, the pause ends."""
IDLE_TURNS = 60
"""The same after a smaller group, in turns of the event loop: a server with few calls must not sleep."""
LOCK_TIMEOUT = 0.05
"""How many seconds a group waits for a lock of another transaction before each of its calls goes on alone."""

Results = list[Enqueued | EnqueueError]


class CallCancelledError(Exception):
    """A call ended before its commit; the transaction is rolled back."""


class LockedByOtherError(Exception):
    """Another transaction holds a lock that a group needs; the group's transaction is rolled back."""


class _Call:
    """A call that waits for its results."""

    def __init__(self, jobs: Sequence[ValidatedJob]) -> None:
        self.jobs = jobs
        self._results: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
        self._is_late = False

    @property
    def is_cancelled(self) -> bool:
        """Whether its client has disconnected, its deadline has passed, or it timed out."""
        return self._results.cancelled()

    async def wait(self, seconds: float) -> Results:
        """Returns the results. Raises TimeoutError if that takes longer; then the call counts as cancelled."""
        timer = self._results.get_loop().call_later(seconds, self._time_out)  # cheaper than asyncio.timeout
        try:
            results = await self._results
        except asyncio.CancelledError:
            if self._is_late:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        return results

    def _time_out(self) -> None:
        self._is_late = self._results.cancel()

    def succeed(self, results: Results) -> None:
        """Sets the results."""
        if not self._results.done():
            self._results.set_result(results)

    def fail(self, error: Exception) -> None:
        """Sets an error, which `wait` raises."""
        if not self._results.done():
            self._results.set_exception(error)


class GroupCommit:
    """Enqueues the jobs of calls, in one transaction for calls that arrive together.

    Args:
        enqueuer: The engine's.
        database: The jobs database.
    """

    def __init__(self, enqueuer: Enqueuer, database: Database) -> None:
        self._enqueuer = enqueuer
        self._database = database
        self._largest = min(GROUP_JOBS, enqueuer.limits.batch)
        self._waiting: list[_Call] = []
        self._working = False
        # They finish without being cancelled: each waits only for the database, for a bounded time.
        self._tasks: set[asyncio.Task[None]] = set()

    async def enqueue(self, jobs: Sequence[ValidatedJob]) -> Results:
        """Enqueues the jobs of one call, and returns after the commit.

        A call that is cancelled before the commit leaves no job behind. Each job must have its trace context, because
        the span of the call is not current where it is inserted.

        Returns:
            One result per job, in order.

        Raises:
            BatchTooLargeError: There are more jobs than the limit. Nothing was enqueued.
            DatabaseUnavailableError: Postgres is unavailable or too slow. The jobs may or may not have been enqueued.
            QueueError: The engine lost a race too often.
        """
        call = _Call(jobs)
        if len(jobs) > 1:  # a group already
            self._start(self._alone(call))
        else:
            self._waiting.append(call)
            if not self._working:
                self._working = True
                self._start(self._work())
        try:
            return await call.wait(self._database.timeout)
        except TimeoutError:
            raise DatabaseUnavailableError(
                f"not enqueued within {self._database.timeout:g} s: other calls come first"
            ) from None

    async def _work(self) -> None:
        """Enqueues group after group until no call waits."""
        while group := self._next():
            if len(group) == 1:
                # Waits here instead of with a lock timeout, which would cost a call that is alone a round trip.
                await asyncio.wait({self._start(self._alone(group[0]))}, timeout=LOCK_TIMEOUT)
            else:
                await self._together(group)
                await self._gather(len(group))
        self._working = False

    async def _gather(self, answered: int) -> None:
        """Lets more calls arrive, as long as they keep arriving."""
        rest, most = (POLL_INTERVAL, IDLE_POLLS) if answered >= LARGE_GROUP and self._waiting else (0, IDLE_TURNS)
        loop = asyncio.get_running_loop()
        until = loop.time() + GATHERING
        idle = 0
        while idle < most and len(self._waiting) < ENOUGH_CALLS and loop.time() < until:
            waiting = len(self._waiting)
            await asyncio.sleep(rest)
            idle = idle + 1 if len(self._waiting) == waiting else 0

    def _next(self) -> list[_Call]:
        waiting = [call for call in self._waiting if not call.is_cancelled]
        self._waiting = waiting[self._largest :]
        return waiting[: self._largest]

    async def _together(self, group: list[_Call]) -> None:
        jobs = [job for call in group for job in call.jobs]  # one of each

        async def work(connection: Connection) -> Results:
            try:
                return await self._enqueue(connection, jobs, group)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
                raise LockedByOtherError from error

        try:
            results = await self._database.run(work, lock_timeout=LOCK_TIMEOUT)
        except CallCancelledError:
            self._waiting[:0] = group
        except DatabaseUnavailableError as unavailable:
            # The calls that arrived meanwhile fail, too: they would wait for one timeout after the other.
            waiting, self._waiting = self._waiting, []
            for call in (*group, *waiting):
                call.fail(unavailable)
        except Exception:  # noqa: BLE001  (retrying each alone shows whose error it is)
            for call in group:
                self._start(self._alone(call))
        else:
            for call, result in zip(group, results, strict=True):
                call.succeed([result])

    async def _alone(self, call: _Call) -> None:
        try:
            call.succeed(await self._database.run(lambda connection: self._enqueue(connection, call.jobs, [call])))
        except CallCancelledError:
            pass
        except Exception as error:  # noqa: BLE001  (raised where the call waits)
            call.fail(error)

    async def _enqueue(self, connection: Connection, jobs: Sequence[ValidatedJob], group: Sequence[_Call]) -> Results:
        results = await self._enqueuer.enqueue_many_async(connection, jobs)
        if any(call.is_cancelled for call in group):
            raise CallCancelledError
        return results

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task in which no call's span is current."""
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
