"""The job engine of Headrace: accepts, claims, runs, retries and rescues jobs kept in Postgres.

kinds     Kinds, Kind, Defaults, KindOverride: job kinds, made from protobuf messages
accept    Door, NewJob, Accepted: the one door, in the caller's own transaction
worker    Worker, WorkerSettings, Handlers, RunningJob, the outcomes, RetryPolicy, Periodic
lookup    get_job, list_jobs; control: cancel_job, retry_job, pause_queue, resume_queue
errors    everything that is refused, with the data that a caller needs
"""

from headrace.queue.accept import Accepted, Door, Limits, NewJob
from headrace.queue.backoff import RetryPolicy
from headrace.queue.cleaner import Retention
from headrace.queue.control import (
    cancel_job,
    limit_queue,
    list_pauses,
    pause_all,
    pause_kind,
    pause_queue,
    resume_all,
    resume_kind,
    resume_queue,
    retry_job,
)
from headrace.queue.errors import (
    BatchTooLarge,
    DatabaseAway,
    JobNotActionable,
    JobNotFound,
    KeyReused,
    KindUnknown,
    LeaseLost,
    OptionInvalid,
    PayloadInvalid,
    PayloadTooLarge,
    PayloadUnreadable,
    QueueError,
    Refused,
    SchemaOutdated,
    Violation,
)
from headrace.queue.handlers import Handlers
from headrace.queue.job import AttemptError, Job, JobState, Pause, Queue, TraceParent
from headrace.queue.kinds import Defaults, Kind, KindMisconfigured, KindOverride, Kinds, NotAKind
from headrace.queue.lookup import JobFilter, get_job, list_jobs
from headrace.queue.outcomes import Cancel, Discard, Done, Outcome, Retry, Snooze
from headrace.queue.running import RunningJob, current_job
from headrace.queue.scheduler import Periodic
from headrace.queue.worker import Worker, WorkerSettings

__all__ = [
    "Accepted",
    "AttemptError",
    "BatchTooLarge",
    "Cancel",
    "DatabaseAway",
    "Defaults",
    "Discard",
    "Done",
    "Door",
    "Handlers",
    "Job",
    "JobFilter",
    "JobNotActionable",
    "JobNotFound",
    "JobState",
    "KeyReused",
    "Kind",
    "KindMisconfigured",
    "KindOverride",
    "KindUnknown",
    "Kinds",
    "LeaseLost",
    "Limits",
    "NewJob",
    "NotAKind",
    "OptionInvalid",
    "Outcome",
    "PayloadInvalid",
    "PayloadTooLarge",
    "PayloadUnreadable",
    "Pause",
    "Periodic",
    "Queue",
    "QueueError",
    "Refused",
    "Retention",
    "Retry",
    "RetryPolicy",
    "RunningJob",
    "SchemaOutdated",
    "Snooze",
    "TraceParent",
    "Violation",
    "Worker",
    "WorkerSettings",
    "cancel_job",
    "current_job",
    "get_job",
    "limit_queue",
    "list_jobs",
    "list_pauses",
    "pause_all",
    "pause_kind",
    "pause_queue",
    "resume_all",
    "resume_kind",
    "resume_queue",
    "retry_job",
]
