"""The job engine of Headrace: enqueues, claims, runs, retries and rescues jobs kept in Postgres.

`Headrace` is the object that a program begins with. It puts the classes below together.

What exists in two forms is blocking by its plain name, and asynchronous with the suffix `_async`. Both forms work in
the caller's transaction, on psycopg connections and on SQLAlchemy connections and sessions; blocking ones on Django's
`django.db.connection` as well. On a connection in autocommit mode, a call is its own transaction.

The names below are the engine's public face, in groups: app, enqueue, kinds, worker, inspect, control, periodic,
events, errors.
"""

from headrace.queue.app import (
    Headrace,
    JobOptions,
)
from headrace.queue.control.audit_log import (
    AuditEntry,
    list_audit_entries,
    list_audit_entries_async,
    record_audit_entry,
    record_audit_entry_async,
)
from headrace.queue.control.bulk import (
    Action,
    BulkResult,
    act_on,
    act_on_async,
    batches,
    cancel_jobs,
    cancel_jobs_async,
    delete_jobs,
    delete_jobs_async,
    find_actionable,
    find_actionable_async,
    retry_jobs,
    retry_jobs_async,
)
from headrace.queue.control.jobs import (
    cancel_job,
    cancel_job_async,
    delete_job,
    delete_job_async,
    retry_job,
    retry_job_async,
)
from headrace.queue.control.queues import (
    limit_queue,
    limit_queue_async,
    list_pauses,
    list_pauses_async,
    pause_all,
    pause_all_async,
    pause_kind,
    pause_kind_async,
    pause_queue,
    pause_queue_async,
    resume_all,
    resume_all_async,
    resume_kind,
    resume_kind_async,
    resume_queue,
    resume_queue_async,
    set_retention,
    set_retention_async,
)
from headrace.queue.db import (
    migrate,
)
from headrace.queue.db.caller_connection import (
    AnyAsyncConnection,
    AnyConnection,
)
from headrace.queue.enqueue.enqueuer import (
    Enqueuer,
)
from headrace.queue.enqueue.new_job import (
    Limits,
    NewJob,
)
from headrace.queue.enqueue.results import (
    Enqueued,
    ExistingJob,
)
from headrace.queue.enqueue.uniqueness import (
    Unique,
)
from headrace.queue.enqueue.validation import (
    ValidatedJob,
)
from headrace.queue.errors import (
    BatchRejectedError,
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
from headrace.queue.events.event import (
    Event,
    EventsMissed,
    EventType,
)
from headrace.queue.events.listener import (
    EventListener,
)
from headrace.queue.execution.attempt_failure import (
    AttemptFailedError,
)
from headrace.queue.execution.handlers import (
    Handlers,
)
from headrace.queue.execution.outcomes import (
    Cancel,
    Discard,
    Done,
    Outcome,
    Retry,
    Snooze,
)
from headrace.queue.execution.retry_policy import (
    RetryPolicy,
)
from headrace.queue.execution.running_job import (
    RunningJob,
    current_job,
)
from headrace.queue.inspection import (
    reasons,
)
from headrace.queue.inspection.explain import (
    Explanation,
    explain_enqueue,
    explain_enqueue_async,
    explain_job,
    explain_job_async,
)
from headrace.queue.inspection.jobs import (
    BoundedCount,
    JobPage,
    count_jobs,
    count_jobs_async,
    count_jobs_up_to,
    count_jobs_up_to_async,
    get_job,
    get_job_async,
    list_jobs,
    list_jobs_async,
)
from headrace.queue.inspection.queue_stats import (
    QueueStats,
    queue_stats,
    queue_stats_async,
)
from headrace.queue.inspection.queues import (
    count_available,
    count_available_async,
    list_queues,
    list_queues_async,
)
from headrace.queue.inspection.redaction import (
    redact_job,
    redact_payload,
)
from headrace.queue.inspection.search import (
    Found,
    JobFilter,
)
from headrace.queue.inspection.workers import (
    WorkerInfo,
    WorkerState,
    list_workers,
    list_workers_async,
)
from headrace.queue.job import (
    AttemptFailure,
    Job,
    JobState,
    Pause,
    Queue,
    TraceParent,
)
from headrace.queue.kinds.declaration import (
    KindMisconfiguredError,
    NotAJobKindError,
    job_kind,
)
from headrace.queue.kinds.kind import (
    Defaults,
    Kind,
    KindOverride,
    Kinds,
)
from headrace.queue.kinds.revisions import (
    register_kinds,
    register_kinds_async,
)
from headrace.queue.periodic.control import (
    PeriodicJob,
    create_periodic,
    create_periodic_async,
    delete_periodic,
    delete_periodic_async,
    get_periodic,
    get_periodic_async,
    list_periodic,
    list_periodic_async,
    pause_periodic,
    pause_periodic_async,
    resume_periodic,
    resume_periodic_async,
    update_periodic,
    update_periodic_async,
)
from headrace.queue.periodic.definition import (
    MissedTicks,
    Periodic,
    periodic_violations,
)
from headrace.queue.retention import (
    Retention,
)
from headrace.queue.tracing import (
    AttemptSpanIds,
)
from headrace.queue.tracing import (
    current as current_trace,
)
from headrace.queue.worker.run import (
    run_worker,
    tune_garbage_collector,
)
from headrace.queue.worker.settings import (
    WorkerSettings,
)
from headrace.queue.worker.worker import (
    Worker,
)

__all__ = [  # noqa: RUF022 - sorted within each group
    # app
    "Headrace",
    "JobOptions",
    # enqueue
    "AnyAsyncConnection",
    "AnyConnection",
    "Enqueued",
    "Enqueuer",
    "ExistingJob",
    "Limits",
    "NewJob",
    "TraceParent",
    "Unique",
    "ValidatedJob",
    "current_trace",
    # kinds
    "Defaults",
    "Kind",
    "KindOverride",
    "Kinds",
    "job_kind",
    "register_kinds",
    "register_kinds_async",
    # worker
    "AttemptSpanIds",
    "Cancel",
    "Discard",
    "Done",
    "Handlers",
    "Outcome",
    "Retention",
    "Retry",
    "RetryPolicy",
    "RunningJob",
    "Snooze",
    "Worker",
    "WorkerSettings",
    "current_job",
    "run_worker",
    "tune_garbage_collector",
    # inspect
    "AttemptFailure",
    "BoundedCount",
    "Explanation",
    "Found",
    "Job",
    "JobFilter",
    "JobPage",
    "JobState",
    "Pause",
    "Queue",
    "QueueStats",
    "WorkerInfo",
    "WorkerState",
    "count_available",
    "count_available_async",
    "count_jobs",
    "count_jobs_async",
    "count_jobs_up_to",
    "count_jobs_up_to_async",
    "explain_enqueue",
    "explain_enqueue_async",
    "explain_job",
    "explain_job_async",
    "get_job",
    "get_job_async",
    "list_jobs",
    "list_jobs_async",
    "list_queues",
    "list_queues_async",
    "list_workers",
    "list_workers_async",
    "queue_stats",
    "queue_stats_async",
    "reasons",
    "redact_job",
    "redact_payload",
    # control
    "Action",
    "AuditEntry",
    "BulkResult",
    "act_on",
    "act_on_async",
    "batches",
    "cancel_job",
    "cancel_job_async",
    "cancel_jobs",
    "cancel_jobs_async",
    "delete_job",
    "delete_job_async",
    "delete_jobs",
    "delete_jobs_async",
    "find_actionable",
    "find_actionable_async",
    "limit_queue",
    "limit_queue_async",
    "list_audit_entries",
    "list_audit_entries_async",
    "list_pauses",
    "list_pauses_async",
    "migrate",
    "pause_all",
    "pause_all_async",
    "pause_kind",
    "pause_kind_async",
    "pause_queue",
    "pause_queue_async",
    "record_audit_entry",
    "record_audit_entry_async",
    "resume_all",
    "resume_all_async",
    "resume_kind",
    "resume_kind_async",
    "resume_queue",
    "resume_queue_async",
    "retry_job",
    "retry_job_async",
    "retry_jobs",
    "retry_jobs_async",
    "set_retention",
    "set_retention_async",
    # periodic
    "MissedTicks",
    "Periodic",
    "PeriodicJob",
    "create_periodic",
    "create_periodic_async",
    "delete_periodic",
    "delete_periodic_async",
    "get_periodic",
    "get_periodic_async",
    "list_periodic",
    "list_periodic_async",
    "pause_periodic",
    "pause_periodic_async",
    "periodic_violations",
    "resume_periodic",
    "resume_periodic_async",
    "update_periodic",
    "update_periodic_async",
    # events
    "Event",
    "EventListener",
    "EventType",
    "EventsMissed",
    # errors
    "AttemptFailedError",
    "BatchRejectedError",
    "BatchTooLargeError",
    "DatabaseUnavailableError",
    "EnqueueError",
    "JobNotActionableError",
    "JobNotFoundError",
    "KeyReusedError",
    "KindMisconfiguredError",
    "KindUnknownError",
    "LeaseLostError",
    "NotAJobKindError",
    "OptionInvalidError",
    "PayloadInvalidError",
    "PayloadTooLargeError",
    "PayloadUnreadableError",
    "PeriodicExistsError",
    "PeriodicInvalidError",
    "PeriodicNotFoundError",
    "QueueError",
    "SchemaOutdatedError",
    "VersionUnknownError",
    "Violation",
]
