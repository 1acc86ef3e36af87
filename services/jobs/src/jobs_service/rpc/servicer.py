"""JobsService as it is served: its parts put together.

Each method reads its request, asks the engine in one transaction, writes the answer. Errors are raised as the engine
raises them; the server's boundary turns them into statuses (`refusals`).
"""

from jobs_service.rpc.audit import AuditPart
from jobs_service.rpc.bulk import BulkPart
from jobs_service.rpc.explain import ExplainPart
from jobs_service.rpc.jobs import JobsPart
from jobs_service.rpc.kinds import KindsPart
from jobs_service.rpc.pauses import PausesPart
from jobs_service.rpc.periodic import PeriodicPart
from jobs_service.rpc.queues import QueuesPart
from jobs_service.rpc.workers import WorkersPart


class JobsServicer(
    ExplainPart, JobsPart, BulkPart, QueuesPart, PausesPart, KindsPart, WorkersPart, PeriodicPart, AuditPart
):
    """Every method of headrace.jobs.v1.JobsService."""
