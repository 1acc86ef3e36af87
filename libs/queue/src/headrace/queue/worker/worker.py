"""A worker process: it puts the roles together, and ends well.

    producer  → executor → completer        the way of a job
    notifier, scheduler, rescuer, cleaner, reconciler, beats: what keeps it going

Guarantees: a job that was accepted runs at least once. A job whose worker is gone runs again within 10 s. An outcome
counts only under the lease it was reached under.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import psycopg

from headrace.queue.arguments import require_type
from headrace.queue.claiming import reconciler
from headrace.queue.claiming.notifier import Notifier
from headrace.queue.claiming.producer import Producer, WorkerIdentity
from headrace.queue.claiming.tracker import ClaimTracker
from headrace.queue.completion.commit_watcher import CommitWatcher
from headrace.queue.completion.completer import Completer, Settled
from headrace.queue.completion.progress import Progress
from headrace.queue.db import migrate
from headrace.queue.db.connections import CONNECT_TIMEOUT, ReconnectingConnection
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.errors import DatabaseUnavailableError, SchemaOutdatedError
from headrace.queue.events import publisher
from headrace.queue.events.event import Event
from headrace.queue.execution.executor import Executor
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.running_job import Home, Stop
from headrace.queue.kinds.revisions import register_kinds_async
from headrace.queue.maintenance import cleaner, rescuer, scheduler
from headrace.queue.maintenance.cleaner import Cleaner
from headrace.queue.periodic.definition import Periodic
from headrace.queue.worker.heartbeat import Heartbeat, LoopMonitor
from headrace.queue.worker.load import LoadMeter
from headrace.queue.worker.loop import repeat
from headrace.queue.worker.settings import WorkerSettings

logger = logging.getLogger(__name__)
# How long a drain waits, beyond its time-out, for what was told to stop, and for the last outcomes to be written.
LAST_STEPS = 2.5
LAST_WRITES = 2.5


class Worker:
    """Works off the jobs of the kinds that it has handlers for.

    To be made inside a running event loop.

    Args:
        dsn: The jobs database.
        handlers: What runs which kind.
        settings: How it runs.
        retry: The backoff between attempts.
        periodic: Jobs that come back, declared at the start.
        schema: The installation's schema.

    Raises:
        ValueError: There is no handler, `queue_slots` names a queue without one, or `dsn` is no connection string.
        EnqueueError: A periodic job's payload is of none of the kinds, or breaks its kind's rules.
    """

    def __init__(
        self,
        dsn: str,
        handlers: Handlers,
        *,
        settings: WorkerSettings | None = None,
        retry: RetryPolicy | None = None,
        periodic: Sequence[Periodic] = (),
        schema: str = DEFAULT_SCHEMA,
    ) -> None:
        settings = settings or WorkerSettings()
        _require_connection_string(dsn)
        if not handlers.handled:
            raise ValueError("a worker needs at least one handler")
        if unknown := sorted(set(settings.queue_slots) - set(handlers.queues)):
            raise ValueError(
                f"queue_slots: no kind stands in queue {', '.join(unknown)}; there are {', '.join(handlers.queues)}"
            )
        self._dsn = dsn
        self._schema = schema
        self._settings = settings
        self._handlers = handlers
        self._stopping = asyncio.Event()
        self._begun = False
        self._registered = False
        self._loop_monitor = LoopMonitor()
        self._identity = WorkerIdentity()
        self._tracker = ClaimTracker()
        self._links = {
            purpose: ReconnectingConnection(dsn, purpose=purpose, schema=schema, pooled=not settings.listen)
            for purpose in ("claims", "outcomes", "maintenance")
        }
        upkeep = self._links["maintenance"]
        self._completer = Completer(self._links["outcomes"], schema, self._on_settled)
        self._progress = Progress(upkeep, schema)
        self._commit_watcher = CommitWatcher(self._links["outcomes"], self._completer, schema, self._on_settled)
        wake = asyncio.Event()
        self._executor = Executor(
            handlers,
            self._completer,
            self._commit_watcher,
            retry or RetryPolicy(),
            home=Home(schema, self._progress.report),
            freed=wake,
        )
        self._producer = Producer(
            self._links["claims"],
            self._identity,
            handlers,
            self._executor,
            self._completer,
            self._tracker,
            slots=settings.slots,
            queue_slots=settings.queue_slots,
            poll_interval=settings.poll_interval,
            schema=schema,
            wake=wake,
        )
        self._publisher = publisher.EventPublisher(upkeep, settings.name, schema)
        self._rescuer = rescuer.Rescuer(upkeep, schema, self._publisher, max_deaths=settings.max_deaths)
        self._scheduler = scheduler.Scheduler(upkeep, handlers.kinds, periodic, schema)
        self._cleaner = Cleaner(upkeep, schema, settings.retention, audit_retention=settings.audit_retention)
        self._reconciler = reconciler.ClaimReconciler(
            upkeep, self._identity, self._tracker, self._executor, self._completer, self._producer, schema
        )
        self._notifier = Notifier(dsn, schema, on_ready=self._producer.wake_queue, on_connected=self._producer.wake_all)
        self._declared_dead = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether it is at work: registered, and not on its way out."""
        return self._registered and not self._stopping.is_set()

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Calls back, on the event loop, whenever something has happened to a job of this worker, and is committed.

        Answers a function that ends it. To hear of other processes' jobs, see `EventListener`.
        """
        return self._publisher.subscribe(callback)

    def loop_lag(self) -> float:
        """For how many seconds the event loop has not moved. May be asked from another thread."""
        return self._loop_monitor.lag

    def stop(self) -> None:
        """Begins the drain: nothing more is claimed; `run` returns when running jobs have ended or were handed back.

        To be called on the event loop; a signal handler of it will do.
        """
        self._stopping.set()

    async def run(self) -> None:
        """Works until stopped. Outlives any absence of the database, also at the start.

        Raises:
            RuntimeError: It has been run before: a worker has one life.
        """
        if self._begun:
            raise RuntimeError("this worker has been run before, and has one life: make another one")
        self._begun = True
        heartbeat = Heartbeat(
            self._dsn,
            self._schema,
            self._tracker,
            self._loop_monitor,
            vitals=LoadMeter(self._producer).read,
            on_cancel=self._producer.cancel,
            on_declared_dead=self._declared_dead.set,
        )
        try:
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(self._loop_monitor.run(), name="loop monitor")]
                if await self._begin(heartbeat):
                    loops += [group.create_task(run, name=name) for name, run in self._loops(heartbeat).items()]
                    await self._stopping.wait()
                    await self._drain()
                for loop in loops:
                    loop.cancel()
        finally:
            await self._executor.close()
            await heartbeat.stop()
            for link in self._links.values():
                await link.close()

    def _loops(self, heartbeat: Heartbeat) -> dict[str, Coroutine[Any, Any, None]]:
        loops = {
            "completer": self._completer.run(),
            "commit watcher": self._commit_watcher.run(),
            "progress": self._progress.run(),
            "announcer": repeat(self._publisher.step, every=publisher.INTERVAL, name="telling of events"),
            "scheduler": repeat(self._scheduler.step, every=scheduler.INTERVAL, name="scheduling"),
            "rescuer": repeat(self._rescuer.step, every=rescuer.INTERVAL, name="the watch over workers"),
            "cleaner": repeat(self._cleaner.step, every=cleaner.INTERVAL, name="cleaning"),
            "auditor": repeat(self._audit, every=reconciler.INTERVAL, name="the audit"),
            "rebirth": self._register_again(heartbeat),
        }
        if self._settings.enabled:
            loops["producer"] = self._producer.run()
            if self._settings.listen:
                loops["notifier"] = self._notifier.run()
        return loops

    async def _begin(self, heartbeat: Heartbeat) -> bool:
        """Registers, as soon as the database lets us; False when stopped before that."""
        backoff = ReconnectBackoff()
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(migrate.require_current, self._with_timeout(), schema=self._schema)
                async with self._links["maintenance"].use() as connection:
                    await register_kinds_async(connection, self._handlers.kinds, schema=self._schema)
                await self._register(heartbeat)
            except (DatabaseUnavailableError, SchemaOutdatedError, psycopg.OperationalError) as error:
                await backoff.wait(logger, f"not at work yet: {str(error).strip()}")
                continue
            self._registered = True
            logger.info("worker %s is at work on %s", self._settings.name, ", ".join(self._handlers.queues))
            return True
        return False

    def _with_timeout(self) -> str:
        return psycopg.conninfo.make_conninfo(self._dsn, connect_timeout=CONNECT_TIMEOUT)

    async def _register(self, heartbeat: Heartbeat) -> None:
        params = {
            "name": self._settings.name,
            "queues": [queue for queue in self._handlers.queues if self._settings.queue_slots.get(queue) != 0],
            "kinds": list(self._handlers.versions),
            "versions": list(self._handlers.versions.values()),
            "slots": self._settings.slots,
            "enabled": self._settings.enabled,
        }
        [row] = await self._links["maintenance"].execute(statement("register_worker", self._schema), params)
        self._identity.worker_id = row["id"]
        heartbeat.begin(row["id"])

    async def _register_again(self, heartbeat: Heartbeat) -> None:
        """After others have declared this process dead, and it wasn't: gives up what it held, and begins a new life."""
        backoff = ReconnectBackoff()
        while True:
            await self._declared_dead.wait()
            self._declared_dead.clear()
            logger.error("declared dead while it was stopped or cut off; its jobs are in other hands, it begins anew")
            self._executor.stop_all(Stop.LEASE_LOST)  # before those begin that have not yet
            async with self._producer.claims_paused():  # no claim is on its way under the old name
                self._executor.stop_all(Stop.LEASE_LOST)
                self._tracker.forget()
                while True:
                    try:
                        await self._register(heartbeat)
                        break
                    except DatabaseUnavailableError as away:
                        await backoff.wait(logger, f"the new life has to wait until Postgres is back: {away}")
            backoff.reset()
            self._producer.wake_all()

    async def _audit(self) -> None:
        await self._reconciler.step()
        self._producer.request_sweep()

    async def _drain(self) -> None:
        """Lets running jobs end within the drain time-out, and hands back the rest, the attempt unspent."""
        await self._producer.stop()
        logger.info("draining: %d jobs are running", self._executor.running)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._executor.idle(), self._settings.drain_timeout.total_seconds())
        self._executor.stop_all(Stop.DRAINING)
        try:
            await asyncio.wait_for(self._executor.idle(), LAST_STEPS)
        except TimeoutError:
            stubborn = self._executor.give_up()
            logger.error("%d jobs don't stop: they are handed back, and this process has to end now", stubborn)
        try:
            async with asyncio.timeout(LAST_WRITES):
                await self._commit_watcher.idle()
                await self._completer.flushed()
                await self._progress.flush()
                await self._publisher.step()
                await self._links["maintenance"].execute(
                    statement("stop_worker", self._schema), {"worker_id": self._identity.worker_id}
                )
        except (TimeoutError, DatabaseUnavailableError):
            left = self._executor.running + self._completer.pending
            logger.error("gone with %d jobs that could not be handed back: they will be rescued", left)

    def _on_settled(self, decided: Sequence[Settled]) -> None:
        for claim_no, jobs in Counter(job.claim_no for job, _ in decided).items():
            self._tracker.job_settled(claim_no, jobs)
        for queue in {job.queue for job, _ in decided}:
            self._producer.job_settled(queue)
        self._publisher.publish(
            [
                (publisher.TOLD[state], job.id, job.kind.name, job.queue, job.attempt)
                for job, state in decided
                if state is not None
            ]
        )
        self._producer.slot_freed()  # it may have waited for outcomes to be written


def _require_connection_string(dsn: str) -> None:
    require_type("a worker", str, dsn=dsn)
    try:
        psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise ValueError(f"a worker: dsn is no connection string of Postgres: {error}") from None
