"""A worker process: connects the engine's parts and runs their loops.

    rotation → pipeline → executor → completer → settled jobs: a job's path
    notifier, scheduler, rescuer, cleaner, reconciler, heartbeat: what keeps it going

It guarantees: an accepted job runs at least once. If its worker dies, it runs again within 10 s. An outcome counts only
under the lease of its attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from headrace.queue.claiming import reconciler
from headrace.queue.claiming.notifier import Notifier
from headrace.queue.claiming.pipeline import ClaimPipeline, WorkerIdentity
from headrace.queue.claiming.rotation import QueueRotation
from headrace.queue.claiming.slots import Slots
from headrace.queue.claiming.tracker import ClaimTracker
from headrace.queue.completion.commit_watcher import CommitWatcher
from headrace.queue.completion.completer import Completer
from headrace.queue.completion.progress import Progress
from headrace.queue.completion.settled_jobs import SettledJobs, job_events
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.events import publisher
from headrace.queue.events.event import Event
from headrace.queue.execution.executor import Executor
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.running_job import Stop
from headrace.queue.maintenance import cleaner, rescuer, scheduler
from headrace.queue.periodic.definition import Periodic
from headrace.queue.worker.drain import drain
from headrace.queue.worker.heartbeat import Heartbeat, LoopMonitor
from headrace.queue.worker.load import LoadMeter
from headrace.queue.worker.loop import repeat
from headrace.queue.worker.registration import Registration, require_connection_string
from headrace.queue.worker.settings import WorkerSettings

logger = logging.getLogger(__name__)


class Worker:
    """Runs jobs of the kinds that it has handlers for.

    To be created inside a running event loop.

    Args:
        dsn: The jobs database.
        handlers: The handler of each kind.
        settings: How the worker runs.
        retry: The backoff between attempts.
        periodic: Periodic jobs, which the worker declares when it starts.
        schema: The installation's schema.

    Raises:
        ValueError: There is no handler, `queue_slots` names a queue without one, or `dsn` is not a connection string.
        EnqueueError: A periodic job's payload is not of one of the kinds, or breaks its kind's rules.
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
        self._settings = settings = settings or WorkerSettings()
        require_connection_string(dsn)
        _require_handlers(handlers, settings)
        self._dsn = dsn
        self._schema = schema
        self._stopping = asyncio.Event()
        self._declared_dead = asyncio.Event()
        self._begun = False
        self._registered = False
        self._connections = {
            purpose: ReconnectingConnection(dsn, purpose=purpose, schema=schema, pooled=not settings.listen)
            for purpose in ("claims", "outcomes", "maintenance")
        }
        claims, outcomes, maintenance = self._connections.values()
        identity = WorkerIdentity()
        self._registration = Registration(dsn, maintenance, identity, handlers, settings, schema)
        self._loop_monitor = LoopMonitor()

        self._settled_jobs = SettledJobs()
        self._completer = Completer(outcomes, schema, self._settled_jobs)
        self._commit_watcher = CommitWatcher(outcomes, self._completer, schema, self._settled_jobs)
        self._progress = Progress(maintenance, schema)
        wake = asyncio.Event()
        self._executor = Executor(
            handlers,
            self._completer,
            self._commit_watcher,
            retry or RetryPolicy(),
            schema=schema,
            report_progress=self._progress.report,
            freed=wake,
        )

        self._tracker = ClaimTracker()
        self._slots = Slots(
            self._executor,
            self._completer,
            handlers.queues,
            slots=settings.slots,
            queue_slots=settings.queue_slots,
        )
        self._pipeline = ClaimPipeline(claims, identity, handlers, self._executor, self._tracker, self._slots, schema)
        self._rotation = QueueRotation(self._pipeline, self._slots, poll_interval=settings.poll_interval, wake=wake)
        self._notifier = Notifier(dsn, schema, on_ready=self._rotation.wake_queue, on_connected=self._rotation.wake_all)
        self._reconciler = reconciler.ClaimReconciler(
            maintenance, identity, self._tracker, self._executor, self._completer, schema
        )

        self._publisher = publisher.EventPublisher(maintenance, settings.name, schema)
        self._rescuer = rescuer.Rescuer(maintenance, schema, self._publisher, max_deaths=settings.max_deaths)
        self._scheduler = scheduler.Scheduler(maintenance, handlers.kinds, periodic, schema)
        self._cleaner = cleaner.Cleaner(
            maintenance, schema, settings.retention, audit_retention=settings.audit_retention
        )

        self._settled_jobs.subscribe(self._tracker.jobs_settled)
        self._settled_jobs.subscribe(self._rotation.jobs_settled)
        self._settled_jobs.subscribe(lambda settled: self._publisher.publish(job_events(settled)))

    @property
    def ready(self) -> bool:
        """Whether the worker is registered and not stopping."""
        return self._registered and not self._stopping.is_set()

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Calls a function on the event loop when something has happened to a job of this worker and is committed.

        Returns a function that ends the subscription. For the jobs of other processes, see `EventListener`.
        """
        return self._publisher.subscribe(callback)

    def loop_lag(self) -> float:
        """Returns for how many seconds the event loop has not run. May be called from another thread."""
        return self._loop_monitor.lag

    def stop(self) -> None:
        """Starts the drain: nothing more is claimed, and `run` returns when running jobs have ended or were released.

        To be called on the event loop, for example by one of its signal handlers.
        """
        self._stopping.set()

    async def run(self) -> None:
        """Runs jobs until stopped. Survives any outage of the database, also at the start.

        Raises:
            RuntimeError: It has been called before: a worker runs once.
        """
        if self._begun:
            raise RuntimeError("this worker has been run before, and a worker runs once: create another one")
        self._begun = True
        heartbeat = Heartbeat(
            self._dsn,
            self._schema,
            self._tracker,
            self._loop_monitor,
            load=LoadMeter(self._slots).read,
            on_cancel=self._pipeline.cancel,
            on_declared_dead=self._declared_dead.set,
        )
        try:
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(self._loop_monitor.run(), name="loop monitor")]
                if await self._registration.start(heartbeat, self._stopping):
                    self._registered = True
                    loops += [group.create_task(run, name=name) for name, run in self._loops(heartbeat).items()]
                    await self._stopping.wait()
                    await drain(
                        self._rotation,
                        self._executor,
                        self._completer,
                        self._commit_watcher,
                        self._progress,
                        self._publisher,
                        self._registration,
                        within=self._settings.drain_timeout,
                    )
                for loop in loops:
                    loop.cancel()
        finally:
            await self._executor.close()
            await heartbeat.stop()
            for connection in self._connections.values():
                await connection.close()

    def _loops(self, heartbeat: Heartbeat) -> dict[str, Coroutine[Any, Any, None]]:
        loops = {
            "completer": self._completer.run(),
            "commit watcher": self._commit_watcher.run(),
            "progress": self._progress.run(),
            "event publisher": repeat(self._publisher.step, every=publisher.INTERVAL, name="publishing events"),
            "scheduler": repeat(self._scheduler.step, every=scheduler.INTERVAL, name="promoting due jobs"),
            "rescuer": repeat(self._rescuer.step, every=rescuer.INTERVAL, name="rescuing jobs"),
            "cleaner": repeat(self._cleaner.step, every=cleaner.INTERVAL, name="deleting expired rows"),
            "reconciler": repeat(self._reconcile, every=reconciler.INTERVAL, name="reconciling claims"),
            "registration": self._register_again(heartbeat),
        }
        if self._settings.enabled:
            loops["rotation"] = self._rotation.run()
            if self._settings.listen:
                loops["notifier"] = self._notifier.run()
        return loops

    async def _register_again(self, heartbeat: Heartbeat) -> None:
        """Gives up all jobs and registers again, whenever the worker was declared dead but is alive."""
        while True:
            await self._declared_dead.wait()
            self._declared_dead.clear()
            logger.error("declared dead while stopped or cut off: other workers have its jobs, and it registers again")
            self._executor.stop_all(Stop.LEASE_LOST)  # before the jobs begin that have not begun yet
            async with self._pipeline.claims_paused():  # no claim is in progress under the old id
                self._executor.stop_all(Stop.LEASE_LOST)
                self._tracker.forget()
                await self._registration.renew(heartbeat)
            self._rotation.wake_all()

    async def _reconcile(self) -> None:
        await self._reconciler.step()
        self._rotation.request_sweep()


def _require_handlers(handlers: Handlers, settings: WorkerSettings) -> None:
    if not handlers.handled:
        raise ValueError("a worker needs at least one handler: add one with handlers.add")
    if unknown := sorted(set(settings.queue_slots) - set(handlers.queues)):
        raise ValueError(
            f"queue_slots: no handled kind uses queue {', '.join(unknown)}; the queues are {', '.join(handlers.queues)}"
        )
