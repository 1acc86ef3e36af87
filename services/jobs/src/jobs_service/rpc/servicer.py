"""JobsService: the methods of all its parts in one class.

Each method reads its request, calls the engine in one transaction and writes the response. The engine's errors are
raised as they are; the server turns them into gRPC statuses (convert/errors.py).
"""

from jobs_service.rpc.audit import AuditMethods
from jobs_service.rpc.bulk import BulkMethods
from jobs_service.rpc.enqueue import EnqueueMethods
from jobs_service.rpc.explain import ExplainMethods
from jobs_service.rpc.jobs import JobsMethods
from jobs_service.rpc.kinds import KindsMethods
from jobs_service.rpc.pauses import PausesMethods
from jobs_service.rpc.periodic import PeriodicMethods
from jobs_service.rpc.queues import QueuesMethods
from jobs_service.rpc.workers import WorkersMethods


class JobsServicer(
    ExplainMethods,
    EnqueueMethods,
    JobsMethods,
    BulkMethods,
    QueuesMethods,
    PausesMethods,
    KindsMethods,
    WorkersMethods,
    PeriodicMethods,
    AuditMethods,
):
    """Every method of headrace.jobs.v1.JobsService."""
