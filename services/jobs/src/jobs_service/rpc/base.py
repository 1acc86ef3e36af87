"""What every part of JobsService needs."""

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
    """Some of the methods; `service` puts the parts together."""

    def __init__(self, enqueuer: Enqueuer, database: Database, callers: Callers, depths: QueueDepthLimits) -> None:
        self._enqueuer = enqueuer
        self._database = database
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
        """Does an administrative act and records it, in one transaction; answers what `work` answers.

        Args:
            action: The method's name: "CancelJob".
            subject: To what: "job:17", "queue:email", "kind:…", "periodic:…", "filter" or "all".
            work: Does it. What it raises is raised, and nothing is recorded.
            details: What was asked for, as JSON; never the payload of a job.
            jobs: How many jobs it changed, or how that is read from the answer.

        Raises:
            DatabaseUnavailableError: The act and its record may both have happened, or neither has.
        """
        actor = self._callers.current().name

        async def recorded(connection: Connection) -> T:
            answer = await work(connection)
            await record_audit_entry_async(
                connection,
                actor=actor,
                action=action,
                subject=subject,
                details=details,
                jobs=jobs if isinstance(jobs, int) else jobs(answer),
            )
            return answer

        return await self._database.run(recorded)
