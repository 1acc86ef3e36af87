"""The job engine of Headrace: accepts, claims, runs, retries and rescues jobs kept in Postgres.

kinds     Kinds, Kind, Defaults, KindOverride, job_kind: job kinds, made from protobuf messages, dataclasses, models
accept    Enqueuer, NewJob, Unique, Enqueued: the one door, in the caller's own transaction
worker    Worker, WorkerSettings, Handlers, RunningJob, the outcomes, RetryPolicy, Periodic
lookup    get_job, list_jobs, count_jobs, count_jobs_up_to, JobFilter; queues: list_queues; fleet: list_workers
explain   explain_job, explain_enqueue: why a job does not run (reasons); queue_flow: queue_stats
control   cancel_job, retry_job, delete_job, pause_queue, resume_queue; actions: retry_jobs, cancel_jobs, delete_jobs
events    Events, Event, EventsMissed: what happens to jobs, as it happens; Worker.subscribe
errors    everything that is refused, with the data that a caller needs
"""

from headrace.queue.control.bulk import Action, BulkResult, cancel_jobs, delete_jobs, retry_jobs
from headrace.queue.control.jobs import cancel_job, delete_job, retry_job
from headrace.queue.control.queues import (
    limit_queue,
    list_pauses,
    pause_all,
    pause_kind,
    pause_queue,
    resume_all,
    resume_kind,
    resume_queue,
    set_retention,
)
from headrace.queue.db import migrate
from headrace.queue.enqueue.enqueuer import Enqueuer
from headrace.queue.enqueue.new_job import Limits, NewJob
from headrace.queue.enqueue.results import Enqueued
from headrace.queue.enqueue.uniqueness import Unique
from headrace.queue.enqueue.validation import ValidatedJob
from headrace.queue.errors import (
    BatchTooLargeError,
    DatabaseUnavailableError,
    EnqueueError,
    JobNotActionableError,
    JobNotFoundError,
    KeyReusedError,
    KindUnknownError,
    LeaseLostError,
    OptionInvalidError,
    PayloadInvalidError,
    PayloadTooLargeError,
    PayloadUnreadableError,
    PeriodicExistsError,
    PeriodicInvalidError,
    PeriodicNotFoundError,
    QueueError,
    SchemaOutdatedError,
    VersionUnknownError,
    Violation,
)
from headrace.queue.events.event import Event, EventsMissed, EventType
from headrace.queue.events.listener import EventListener
from headrace.queue.execution.attempt_failure import AttemptFailedError
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.outcomes import Cancel, Discard, Done, Outcome, Retry, Snooze
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.running_job import RunningJob, current_job
from headrace.queue.inspection.explain import Explanation, explain_enqueue, explain_job
from headrace.queue.inspection.jobs import (
    BoundedCount,
    JobPage,
    count_jobs,
    count_jobs_up_to,
    get_job,
    list_jobs,
    recount_jobs,
)
from headrace.queue.inspection.queue_stats import QueueStats, queue_stats
from headrace.queue.inspection.queues import list_queues
from headrace.queue.inspection.search import JobFilter
from headrace.queue.inspection.workers import WorkerInfo, WorkerState, list_workers
from headrace.queue.job import AttemptFailure, Job, JobState, Pause, Queue, TraceParent
from headrace.queue.kinds.declaration import KindMisconfiguredError, NotAJobKindError, job_kind
from headrace.queue.kinds.kind import Defaults, Kind, KindOverride, Kinds
from headrace.queue.periodic.control import (
    PeriodicJob,
    create_periodic,
    delete_periodic,
    get_periodic,
    list_periodic,
    pause_periodic,
    resume_periodic,
    update_periodic,
)
from headrace.queue.periodic.definition import MissedTicks, Periodic
from headrace.queue.retention import Retention
from headrace.queue.worker.run import run_worker, tune_garbage_collector
from headrace.queue.worker.settings import WorkerSettings
from headrace.queue.worker.worker import Worker

__all__ = [
    "Action",
    "AttemptFailedError",
    "AttemptFailure",
    "BatchTooLargeError",
    "BoundedCount",
    "BulkResult",
    "Cancel",
    "DatabaseUnavailableError",
    "Defaults",
    "Discard",
    "Done",
    "EnqueueError",
    "Enqueued",
    "Enqueuer",
    "Event",
    "EventListener",
    "EventType",
    "EventsMissed",
    "Explanation",
    "Handlers",
    "Job",
    "JobFilter",
    "JobNotActionableError",
    "JobNotFoundError",
    "JobPage",
    "JobState",
    "KeyReusedError",
    "Kind",
    "KindMisconfiguredError",
    "KindOverride",
    "KindUnknownError",
    "Kinds",
    "LeaseLostError",
    "Limits",
    "MissedTicks",
    "NewJob",
    "NotAJobKindError",
    "OptionInvalidError",
    "Outcome",
    "Pause",
    "PayloadInvalidError",
    "PayloadTooLargeError",
    "PayloadUnreadableError",
    "Periodic",
    "PeriodicExistsError",
    "PeriodicInvalidError",
    "PeriodicJob",
    "PeriodicNotFoundError",
    "Queue",
    "QueueError",
    "QueueStats",
    "Retention",
    "Retry",
    "RetryPolicy",
    "RunningJob",
    "SchemaOutdatedError",
    "Snooze",
    "TraceParent",
    "Unique",
    "ValidatedJob",
    "VersionUnknownError",
    "Violation",
    "Worker",
    "WorkerInfo",
    "WorkerSettings",
    "WorkerState",
    "cancel_job",
    "cancel_jobs",
    "count_jobs",
    "count_jobs_up_to",
    "create_periodic",
    "current_job",
    "delete_job",
    "delete_jobs",
    "delete_periodic",
    "explain_enqueue",
    "explain_job",
    "get_job",
    "get_periodic",
    "job_kind",
    "limit_queue",
    "list_jobs",
    "list_pauses",
    "list_periodic",
    "list_queues",
    "list_workers",
    "migrate",
    "pause_all",
    "pause_kind",
    "pause_periodic",
    "pause_queue",
    "queue_stats",
    "recount_jobs",
    "resume_all",
    "resume_kind",
    "resume_periodic",
    "resume_queue",
    "retry_job",
    "retry_jobs",
    "run_worker",
    "set_retention",
    "tune_garbage_collector",
    "update_periodic",
]
