"""The job engine of Headrace: accepts, claims, runs, retries and rescues jobs kept in Postgres.

kinds     Kinds, Kind, Defaults, KindOverride, job_kind: job kinds, made from protobuf messages, dataclasses, models
accept    Door, NewJob, Unique, Accepted: the one door, in the caller's own transaction
worker    Worker, WorkerSettings, Handlers, RunningJob, the outcomes, RetryPolicy, Periodic
lookup    get_job, list_jobs, count_jobs, count_jobs_up_to, JobFilter; queues: list_queues; fleet: list_workers
explain   explain_job, explain_enqueue: why a job does not run (reasons); queue_flow: queue_flows
control   cancel_job, retry_job, delete_job, pause_queue, resume_queue; actions: retry_jobs, cancel_jobs, delete_jobs
events    Events, Event, EventsMissed: what happens to jobs, as it happens; Worker.subscribe
errors    everything that is refused, with the data that a caller needs
"""

from headrace.queue.accept import Door
from headrace.queue.actions import Acted, Action, cancel_jobs, delete_jobs, retry_jobs
from headrace.queue.backoff import RetryPolicy
from headrace.queue.cleaner import Retention
from headrace.queue.control import (
    cancel_job,
    delete_job,
    limit_queue,
    list_pauses,
    pause_all,
    pause_kind,
    pause_queue,
    resume_all,
    resume_kind,
    resume_queue,
    retry_job,
    set_retention,
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
    PeriodicExists,
    PeriodicInvalid,
    PeriodicNotFound,
    QueueError,
    Refused,
    SchemaOutdated,
    VersionUnknown,
    Violation,
)
from headrace.queue.events import Event, Events, EventsMissed, What
from headrace.queue.explain import Explanation, explain_enqueue, explain_job
from headrace.queue.failures import AttemptFailed
from headrace.queue.fleet import WorkerInfo, WorkerState, list_workers
from headrace.queue.handlers import Handlers
from headrace.queue.job import AttemptError, Job, JobState, Pause, Queue, TraceParent
from headrace.queue.kinds import Defaults, Kind, KindMisconfigured, KindOverride, Kinds, NotAKind, job_kind
from headrace.queue.lookup import Counted, JobPage, count_jobs, count_jobs_up_to, get_job, list_jobs, recount_jobs
from headrace.queue.new_job import Accepted, Limits, NewJob
from headrace.queue.outcomes import Cancel, Discard, Done, Outcome, Retry, Snooze
from headrace.queue.periodic import Missed, Periodic
from headrace.queue.periodic_control import (
    PeriodicJob,
    create_periodic,
    delete_periodic,
    get_periodic,
    list_periodic,
    pause_periodic,
    resume_periodic,
    update_periodic,
)
from headrace.queue.program import calm_collector, run_worker
from headrace.queue.queue_flow import QueueFlow, queue_flows
from headrace.queue.queues import list_queues
from headrace.queue.running import RunningJob, current_job
from headrace.queue.search import JobFilter
from headrace.queue.unique import Unique
from headrace.queue.worker import Worker, WorkerSettings

__all__ = [
    "Accepted",
    "Acted",
    "Action",
    "AttemptError",
    "AttemptFailed",
    "BatchTooLarge",
    "Cancel",
    "Counted",
    "DatabaseAway",
    "Defaults",
    "Discard",
    "Done",
    "Door",
    "Event",
    "Events",
    "EventsMissed",
    "Explanation",
    "Handlers",
    "Job",
    "JobFilter",
    "JobNotActionable",
    "JobNotFound",
    "JobPage",
    "JobState",
    "KeyReused",
    "Kind",
    "KindMisconfigured",
    "KindOverride",
    "KindUnknown",
    "Kinds",
    "LeaseLost",
    "Limits",
    "Missed",
    "NewJob",
    "NotAKind",
    "OptionInvalid",
    "Outcome",
    "Pause",
    "PayloadInvalid",
    "PayloadTooLarge",
    "PayloadUnreadable",
    "Periodic",
    "PeriodicExists",
    "PeriodicInvalid",
    "PeriodicJob",
    "PeriodicNotFound",
    "Queue",
    "QueueError",
    "QueueFlow",
    "Refused",
    "Retention",
    "Retry",
    "RetryPolicy",
    "RunningJob",
    "SchemaOutdated",
    "Snooze",
    "TraceParent",
    "Unique",
    "VersionUnknown",
    "Violation",
    "What",
    "Worker",
    "WorkerInfo",
    "WorkerSettings",
    "WorkerState",
    "calm_collector",
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
    "pause_all",
    "pause_kind",
    "pause_periodic",
    "pause_queue",
    "queue_flows",
    "recount_jobs",
    "resume_all",
    "resume_kind",
    "resume_periodic",
    "resume_queue",
    "retry_job",
    "retry_jobs",
    "run_worker",
    "set_retention",
    "update_periodic",
]
