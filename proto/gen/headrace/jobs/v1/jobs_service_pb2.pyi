import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from headrace.jobs.v1 import audit_pb2 as _audit_pb2
from headrace.jobs.v1 import explanation_pb2 as _explanation_pb2
from headrace.jobs.v1 import job_pb2 as _job_pb2
from headrace.jobs.v1 import kind_pb2 as _kind_pb2
from headrace.jobs.v1 import periodic_job_pb2 as _periodic_job_pb2
from headrace.jobs.v1 import queue_pb2 as _queue_pb2
from headrace.jobs.v1 import worker_pb2 as _worker_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DuplicateBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLICATE_BY_UNSPECIFIED: _ClassVar[DuplicateBy]
    DUPLICATE_BY_KEY: _ClassVar[DuplicateBy]
    DUPLICATE_BY_UNIQUE: _ClassVar[DuplicateBy]
DUPLICATE_BY_UNSPECIFIED: DuplicateBy
DUPLICATE_BY_KEY: DuplicateBy
DUPLICATE_BY_UNIQUE: DuplicateBy

class TraceContext(_message.Message):
    __slots__ = ("traceparent", "tracestate", "baggage")
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    BAGGAGE_FIELD_NUMBER: _ClassVar[int]
    traceparent: str
    tracestate: str
    baggage: str
    def __init__(self, traceparent: _Optional[str] = ..., tracestate: _Optional[str] = ..., baggage: _Optional[str] = ...) -> None: ...

class EnqueueRequest(_message.Message):
    __slots__ = ("payload", "idempotency_key", "queue", "priority", "max_retries", "timeout", "run_at", "trace_context", "unique", "tags", "metadata", "version")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RUN_AT_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    payload: _any_pb2.Any
    idempotency_key: str
    queue: str
    priority: int
    max_retries: int
    timeout: _duration_pb2.Duration
    run_at: _timestamp_pb2.Timestamp
    trace_context: TraceContext
    unique: Unique
    tags: _containers.RepeatedScalarFieldContainer[str]
    metadata: _struct_pb2.Struct
    version: int
    def __init__(self, payload: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., idempotency_key: _Optional[str] = ..., queue: _Optional[str] = ..., priority: _Optional[int] = ..., max_retries: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., run_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., trace_context: _Optional[_Union[TraceContext, _Mapping]] = ..., unique: _Optional[_Union[Unique, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class Unique(_message.Message):
    __slots__ = ("fields", "period", "by_queue", "states")
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    BY_QUEUE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedScalarFieldContainer[str]
    period: _duration_pb2.Duration
    by_queue: bool
    states: _containers.RepeatedScalarFieldContainer[_job_pb2.JobState]
    def __init__(self, fields: _Optional[_Iterable[str]] = ..., period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., by_queue: bool = ..., states: _Optional[_Iterable[_Union[_job_pb2.JobState, str]]] = ...) -> None: ...

class EnqueueResponse(_message.Message):
    __slots__ = ("job_id", "duplicate", "duplicate_by")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_BY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    duplicate: bool
    duplicate_by: DuplicateBy
    def __init__(self, job_id: _Optional[str] = ..., duplicate: bool = ..., duplicate_by: _Optional[_Union[DuplicateBy, str]] = ...) -> None: ...

class EnqueueBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[EnqueueRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[EnqueueRequest, _Mapping]]] = ...) -> None: ...

class EnqueueBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[EnqueueResult]
    def __init__(self, results: _Optional[_Iterable[_Union[EnqueueResult, _Mapping]]] = ...) -> None: ...

class EnqueueResult(_message.Message):
    __slots__ = ("accepted", "refused")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    accepted: EnqueueResponse
    refused: _status_pb2.Status
    def __init__(self, accepted: _Optional[_Union[EnqueueResponse, _Mapping]] = ..., refused: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: _job_pb2.JobFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[_job_pb2.JobFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[_job_pb2.Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class RetryJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class RetryJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class ExplainJobRequest(_message.Message):
    __slots__ = ("job_id", "enqueue")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ENQUEUE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    enqueue: EnqueueRequest
    def __init__(self, job_id: _Optional[str] = ..., enqueue: _Optional[_Union[EnqueueRequest, _Mapping]] = ...) -> None: ...

class ExplainJobResponse(_message.Message):
    __slots__ = ("job", "explanation")
    JOB_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    explanation: _explanation_pb2.Explanation
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., explanation: _Optional[_Union[_explanation_pb2.Explanation, _Mapping]] = ...) -> None: ...

class DeleteJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class DeleteJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelJobsRequest(_message.Message):
    __slots__ = ("filter", "dry_run")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    filter: _job_pb2.JobFilter
    dry_run: bool
    def __init__(self, filter: _Optional[_Union[_job_pb2.JobFilter, _Mapping]] = ..., dry_run: bool = ...) -> None: ...

class CancelJobsResponse(_message.Message):
    __slots__ = ("matched", "changed")
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    matched: int
    changed: int
    def __init__(self, matched: _Optional[int] = ..., changed: _Optional[int] = ...) -> None: ...

class RetryJobsRequest(_message.Message):
    __slots__ = ("filter", "dry_run")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    filter: _job_pb2.JobFilter
    dry_run: bool
    def __init__(self, filter: _Optional[_Union[_job_pb2.JobFilter, _Mapping]] = ..., dry_run: bool = ...) -> None: ...

class RetryJobsResponse(_message.Message):
    __slots__ = ("matched", "changed")
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    matched: int
    changed: int
    def __init__(self, matched: _Optional[int] = ..., changed: _Optional[int] = ...) -> None: ...

class DeleteJobsRequest(_message.Message):
    __slots__ = ("filter", "dry_run")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    filter: _job_pb2.JobFilter
    dry_run: bool
    def __init__(self, filter: _Optional[_Union[_job_pb2.JobFilter, _Mapping]] = ..., dry_run: bool = ...) -> None: ...

class DeleteJobsResponse(_message.Message):
    __slots__ = ("matched", "changed")
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    matched: int
    changed: int
    def __init__(self, matched: _Optional[int] = ..., changed: _Optional[int] = ...) -> None: ...

class ListQueuesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListQueuesResponse(_message.Message):
    __slots__ = ("queues",)
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedCompositeFieldContainer[_queue_pb2.Queue]
    def __init__(self, queues: _Optional[_Iterable[_Union[_queue_pb2.Queue, _Mapping]]] = ...) -> None: ...

class GetQueueStatsRequest(_message.Message):
    __slots__ = ("queues",)
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, queues: _Optional[_Iterable[str]] = ...) -> None: ...

class GetQueueStatsResponse(_message.Message):
    __slots__ = ("stats",)
    STATS_FIELD_NUMBER: _ClassVar[int]
    stats: _containers.RepeatedCompositeFieldContainer[_queue_pb2.QueueStats]
    def __init__(self, stats: _Optional[_Iterable[_Union[_queue_pb2.QueueStats, _Mapping]]] = ...) -> None: ...

class UpdateQueueRequest(_message.Message):
    __slots__ = ("queue", "max_running", "retention")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    queue: str
    max_running: int
    retention: _queue_pb2.Retention
    def __init__(self, queue: _Optional[str] = ..., max_running: _Optional[int] = ..., retention: _Optional[_Union[_queue_pb2.Retention, _Mapping]] = ...) -> None: ...

class UpdateQueueResponse(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: _queue_pb2.Queue
    def __init__(self, queue: _Optional[_Union[_queue_pb2.Queue, _Mapping]] = ...) -> None: ...

class PauseQueueRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class PauseQueueResponse(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: _queue_pb2.Queue
    def __init__(self, queue: _Optional[_Union[_queue_pb2.Queue, _Mapping]] = ...) -> None: ...

class ResumeQueueRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class ResumeQueueResponse(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: _queue_pb2.Queue
    def __init__(self, queue: _Optional[_Union[_queue_pb2.Queue, _Mapping]] = ...) -> None: ...

class PauseKindRequest(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: str
    def __init__(self, kind: _Optional[str] = ...) -> None: ...

class PauseKindResponse(_message.Message):
    __slots__ = ("pause",)
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    pause: _queue_pb2.Pause
    def __init__(self, pause: _Optional[_Union[_queue_pb2.Pause, _Mapping]] = ...) -> None: ...

class ResumeKindRequest(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: str
    def __init__(self, kind: _Optional[str] = ...) -> None: ...

class ResumeKindResponse(_message.Message):
    __slots__ = ("was_paused",)
    WAS_PAUSED_FIELD_NUMBER: _ClassVar[int]
    was_paused: bool
    def __init__(self, was_paused: bool = ...) -> None: ...

class PauseAllRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PauseAllResponse(_message.Message):
    __slots__ = ("pause",)
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    pause: _queue_pb2.Pause
    def __init__(self, pause: _Optional[_Union[_queue_pb2.Pause, _Mapping]] = ...) -> None: ...

class ResumeAllRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResumeAllResponse(_message.Message):
    __slots__ = ("was_paused",)
    WAS_PAUSED_FIELD_NUMBER: _ClassVar[int]
    was_paused: bool
    def __init__(self, was_paused: bool = ...) -> None: ...

class ListPausesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPausesResponse(_message.Message):
    __slots__ = ("pauses",)
    PAUSES_FIELD_NUMBER: _ClassVar[int]
    pauses: _containers.RepeatedCompositeFieldContainer[_queue_pb2.Pause]
    def __init__(self, pauses: _Optional[_Iterable[_Union[_queue_pb2.Pause, _Mapping]]] = ...) -> None: ...

class ListKindsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListKindsResponse(_message.Message):
    __slots__ = ("kinds",)
    KINDS_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedCompositeFieldContainer[_kind_pb2.JobKind]
    def __init__(self, kinds: _Optional[_Iterable[_Union[_kind_pb2.JobKind, _Mapping]]] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ("include_gone",)
    INCLUDE_GONE_FIELD_NUMBER: _ClassVar[int]
    include_gone: bool
    def __init__(self, include_gone: bool = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[_worker_pb2.Worker]
    def __init__(self, workers: _Optional[_Iterable[_Union[_worker_pb2.Worker, _Mapping]]] = ...) -> None: ...

class CreatePeriodicJobRequest(_message.Message):
    __slots__ = ("periodic_job",)
    PERIODIC_JOB_FIELD_NUMBER: _ClassVar[int]
    periodic_job: _periodic_job_pb2.PeriodicJob
    def __init__(self, periodic_job: _Optional[_Union[_periodic_job_pb2.PeriodicJob, _Mapping]] = ...) -> None: ...

class CreatePeriodicJobResponse(_message.Message):
    __slots__ = ("periodic_job",)
    PERIODIC_JOB_FIELD_NUMBER: _ClassVar[int]
    periodic_job: _periodic_job_pb2.PeriodicJob
    def __init__(self, periodic_job: _Optional[_Union[_periodic_job_pb2.PeriodicJob, _Mapping]] = ...) -> None: ...

class GetPeriodicJobRequest(_message.Message):
    __slots__ = ("name", "runs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    name: str
    runs: int
    def __init__(self, name: _Optional[str] = ..., runs: _Optional[int] = ...) -> None: ...

class GetPeriodicJobResponse(_message.Message):
    __slots__ = ("periodic_job",)
    PERIODIC_JOB_FIELD_NUMBER: _ClassVar[int]
    periodic_job: _periodic_job_pb2.PeriodicJob
    def __init__(self, periodic_job: _Optional[_Union[_periodic_job_pb2.PeriodicJob, _Mapping]] = ...) -> None: ...

class ListPeriodicJobsRequest(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: int
    def __init__(self, runs: _Optional[int] = ...) -> None: ...

class ListPeriodicJobsResponse(_message.Message):
    __slots__ = ("periodic_jobs",)
    PERIODIC_JOBS_FIELD_NUMBER: _ClassVar[int]
    periodic_jobs: _containers.RepeatedCompositeFieldContainer[_periodic_job_pb2.PeriodicJob]
    def __init__(self, periodic_jobs: _Optional[_Iterable[_Union[_periodic_job_pb2.PeriodicJob, _Mapping]]] = ...) -> None: ...

class UpdatePeriodicJobRequest(_message.Message):
    __slots__ = ("periodic_job",)
    PERIODIC_JOB_FIELD_NUMBER: _ClassVar[int]
    periodic_job: _periodic_job_pb2.PeriodicJob
    def __init__(self, periodic_job: _Optional[_Union[_periodic_job_pb2.PeriodicJob, _Mapping]] = ...) -> None: ...

class UpdatePeriodicJobResponse(_message.Message):
    __slots__ = ("periodic_job",)
    PERIODIC_JOB_FIELD_NUMBER: _ClassVar[int]
    periodic_job: _periodic_job_pb2.PeriodicJob
    def __init__(self, periodic_job: _Optional[_Union[_periodic_job_pb2.PeriodicJob, _Mapping]] = ...) -> None: ...

class PausePeriodicJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PausePeriodicJobResponse(_message.Message):
    __slots__ = ("periodic_job",)
    PERIODIC_JOB_FIELD_NUMBER: _ClassVar[int]
    periodic_job: _periodic_job_pb2.PeriodicJob
    def __init__(self, periodic_job: _Optional[_Union[_periodic_job_pb2.PeriodicJob, _Mapping]] = ...) -> None: ...

class ResumePeriodicJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumePeriodicJobResponse(_message.Message):
    __slots__ = ("periodic_job",)
    PERIODIC_JOB_FIELD_NUMBER: _ClassVar[int]
    periodic_job: _periodic_job_pb2.PeriodicJob
    def __init__(self, periodic_job: _Optional[_Union[_periodic_job_pb2.PeriodicJob, _Mapping]] = ...) -> None: ...

class DeletePeriodicJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeletePeriodicJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAuditEntriesRequest(_message.Message):
    __slots__ = ("actor", "subject", "page_size", "page_token")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    actor: str
    subject: str
    page_size: int
    page_token: str
    def __init__(self, actor: _Optional[str] = ..., subject: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_audit_pb2.AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_audit_pb2.AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
