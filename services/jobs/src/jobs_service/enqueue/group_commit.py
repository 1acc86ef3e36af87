"""Group commit: calls for one job each that come in together are accepted in one transaction, and answered after it.

At rest a call has a transaction of its own, at once. Under load what comes in while one transaction is under way goes
together in the next one: they share the price of a commit, which takes much of the server's own time, too. So a busy
server lets more of them come in before it begins the next one. No call pays for another one:

- What fails together is tried again one by one.
- A call that has to wait for a stranger's lock (another transaction has taken its key, and is not committed yet) is
  left to wait by itself, and the others go on.
- A call that was given up before the commit leaves no job: what was done for it is rolled back.
"""

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from typing import Any

import psycopg

from headrace.queue import DatabaseUnavailableError, Enqueued, EnqueueError, Enqueuer, ValidatedJob
from jobs_service.database import Connection, Database

GROUP_JOBS = 200
"""The most jobs of one group: some milliseconds of Postgres' time."""
ENOUGH_CALLS = 24
"""How many calls are enough: no more are waited for."""
LARGE_GROUP = 16
"""After a group of so many, others having come in meanwhile, there are more on their way for sure."""
GATHERING = 0.01
"""How many seconds they are waited for at most."""
POLL_INTERVAL = 0.001
"""How many seconds pass between two looks, after a group of many."""
IDLE_POLLS = 2
"""After how many such looks without a new call none is on its way."""
IDLE_TURNS = 60
"""After how many turns of the event loop without one, some microseconds each, where the group was smaller."""
LOCK_TIMEOUT = 0.05
"""How many seconds the others wait for a stranger's lock that a call needs, before it is left to itself."""

Results = list[Enqueued | EnqueueError]


class CallCancelledError(Exception):
    """A call ended before its commit; the transaction is rolled back."""


class LockedByOtherError(Exception):
    """A stranger holds what a group needs; the transaction is rolled back."""


class _Call:
    """A call that waits for its results."""

    def __init__(self, jobs: Sequence[ValidatedJob]) -> None:
        self.jobs = jobs
        self.answer: asyncio.Future[list[Results]] = asyncio.get_running_loop().create_future()
        self.is_late = False
        """Whether it has waited for as long as the database is waited for."""

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits any more: the client has gone, or its deadline has passed, or it is late."""
        return self.answer.cancelled()

    async def wait(self, seconds: float) -> Results:
        """Waits for the results. Raises TimeoutError when it is late; then, or cancelled, the call is given up."""
        timer = self.answer.get_loop().call_later(seconds, self._be_late)  # a quarter of asyncio.timeout's time
        try:
            (results,) = await self.answer
        except asyncio.CancelledError:
            if self.is_late:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        return results

    def _be_late(self) -> None:
        self.is_late = self.answer.cancel()

    def succeed(self, results: Results) -> None:
        """Answers."""
        if not self.answer.done():
            self.answer.set_result([results])

    def fail(self, error: Exception) -> None:
        """Raises."""
        if not self.answer.done():
            self.answer.set_exception(error)


class GroupCommit:
    """Accepts the jobs of calls, together where they come together."""

    def __init__(self, enqueuer: Enqueuer, database: Database) -> None:
        self._enqueuer = enqueuer
        self._database = database
        self._largest = min(GROUP_JOBS, enqueuer.limits.batch)
        self._waiting: list[_Call] = []
        self._working = False
        # They end by themselves: each waits for nothing but the database, for a bounded time.
        self._tasks: set[asyncio.Task[None]] = set()

    async def enqueue(self, jobs: Sequence[ValidatedJob]) -> Results:
        """Accepts the jobs of one call; answers one result per job, in order, after the commit.

        Given up (cancelled) before its commit, it leaves nothing; after it, the jobs are there. Jobs must name their
        trace: there is no current span where they are inserted.

        Raises:
            BatchTooLargeError: There are more jobs than the limit; nothing was accepted.
            DatabaseUnavailableError: Postgres is away or too slow. What was asked may or may not have happened.
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
                f"no answer within {self._database.timeout:g} s: others come first"
            ) from None

    async def _work(self) -> None:
        """Takes group after group, until nobody waits."""
        while group := self._next():
            if len(group) == 1:
                # Without a timeout of locks, which would cost a call at rest a round trip.
                await asyncio.wait({self._start(self._alone(group[0]))}, timeout=LOCK_TIMEOUT)
            else:
                await self._together(group)
                await self._gather(len(group))
        self._working = False

    async def _gather(self, answered: int) -> None:
        """Lets more calls come in, as long as they keep coming: those of a crowd were answered, and call again.

        To look at each turn would take much of a busy server's time, and to rest in between much of an idle one's.
        """
        rest, most = (POLL_INTERVAL, IDLE_POLLS) if answered >= LARGE_GROUP and self._waiting else (0, IDLE_TURNS)
        loop = asyncio.get_running_loop()
        until = loop.time() + GATHERING
        idle = 0
        while idle < most and len(self._waiting) < ENOUGH_CALLS and loop.time() < until:
            waiting = len(self._waiting)
            await asyncio.sleep(rest)
            idle = idle + 1 if len(self._waiting) == waiting else 0

    def _next(self) -> list[_Call]:
        waiting = [call for call in self._waiting if not call.is_given_up]
        self._waiting = waiting[self._largest :]
        return waiting[: self._largest]

    async def _together(self, group: list[_Call]) -> None:
        jobs = [job for call in group for job in call.jobs]  # one of each

        async def work(connection: Connection) -> Results:
            try:
                return await self._accept(connection, jobs, group)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
                raise LockedByOtherError from error

        try:
            results = await self._database.run(work, lock_timeout=LOCK_TIMEOUT)
        except CallCancelledError:
            self._waiting[:0] = group
        except DatabaseUnavailableError as away:
            # Those that came in meanwhile too: one outage after the other would pile up what they wait.
            waiting, self._waiting = self._waiting, []
            for call in (*group, *waiting):
                call.fail(away)
        except Exception:  # noqa: BLE001  (whose error it is shows when each goes by itself)
            for call in group:
                self._start(self._alone(call))
        else:
            for call, result in zip(group, results, strict=True):
                call.succeed([result])

    async def _alone(self, call: _Call) -> None:
        try:
            call.succeed(await self._database.run(lambda connection: self._accept(connection, call.jobs, [call])))
        except CallCancelledError:
            pass
        except Exception as error:  # noqa: BLE001  (raised where the call waits)
            call.fail(error)

    async def _accept(self, connection: Connection, jobs: Sequence[ValidatedJob], group: Sequence[_Call]) -> Results:
        results = await self._enqueuer.enqueue_many_async(connection, jobs)
        if any(call.is_given_up for call in group):
            raise CallCancelledError
        return results

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task that belongs to no call: none's span is current in it."""
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
