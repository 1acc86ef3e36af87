"""The base of the classes that implement JobsService's methods."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from headrace.jobs.v1 import jobs_service_pb2_grpc
from headrace.queue import Enqueuer, record_audit_entry_async
from jobs_service.callers.caller import Callers
from jobs_service.database import Connection, Database
from jobs_service.enqueue.queue_depth import QueueDepthLimits
from jobs_service.rpc.redacted_views import RedactedViews

T = TypeVar("T")


class Methods(jobs_service_pb2_grpc.JobsServiceServicer):
    """Some of the methods; `JobsServicer` combines them."""

    def __init__(self, enqueuer: Enqueuer, database: Database, callers: Callers, depths: QueueDepthLimits) -> None:
        self._enqueuer = enqueuer
        self._database = database
        self._schema = database.schema
        self._callers = callers
        self._depths = depths
        self._seen = RedactedViews(enqueuer.kinds, callers)

    async def _act(
        self,
        action: str,
        subject: str,
        work: Callable[[Connection], Awaitable[T]],
        *,
        details: Mapping[str, Any] | None = None,
        jobs: int | Callable[[T], int] = 0,
    ) -> T:
        """Does an administrative action and writes its audit entry, in one transaction; returns what `work` returns.

        Args:
            action: The method's name: "CancelJob".
            subject: What it acts on: "job:17", "queue:email", "kind:…", "periodic:…", "filter" or "all".
            work: Does it. If it raises, nothing is recorded.
            details: The request as JSON; never a job's payload.
            jobs: How many jobs it changed, or a function that reads that from the result of `work`.

        Raises:
            DatabaseUnavailableError: Either both the action and its entry are committed, or neither is.
        """
        actor = self._callers.current().name

        async def recorded(connection: Connection) -> T:
            result = await work(connection)
            await record_audit_entry_async(
                connection,
                actor=actor,
                action=action,
                subject=subject,
                details=details,
                jobs=jobs if isinstance(jobs, int) else jobs(result),
                schema=self._schema,
            )
            return result

        return await self._database.run(recorded)
