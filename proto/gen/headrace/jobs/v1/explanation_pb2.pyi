import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from headrace.jobs.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Explanation(_message.Message):
    __slots__ = ("summary", "finished", "quarantined", "hung", "running", "scheduled", "waits_for_retry", "pending", "paused", "kind_unknown", "version_unknown", "queue_unserved", "jobs_disabled", "queue_full", "behind", "next", "duplicate", "not_enqueued")
    class Finished(_message.Message):
        __slots__ = ("state", "finished_at", "last_error")
        STATE_FIELD_NUMBER: _ClassVar[int]
        FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
        LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
        state: _job_pb2.JobState
        finished_at: _timestamp_pb2.Timestamp
        last_error: _job_pb2.AttemptFailure
        def __init__(self, state: _Optional[_Union[_job_pb2.JobState, str]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_error: _Optional[_Union[_job_pb2.AttemptFailure, _Mapping]] = ...) -> None: ...
    class Quarantined(_message.Message):
        __slots__ = ("quarantined_at", "error", "deaths")
        QUARANTINED_AT_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        DEATHS_FIELD_NUMBER: _ClassVar[int]
        quarantined_at: _timestamp_pb2.Timestamp
        error: _job_pb2.AttemptFailure
        deaths: int
        def __init__(self, quarantined_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[_job_pb2.AttemptFailure, _Mapping]] = ..., deaths: _Optional[int] = ...) -> None: ...
    class Hung(_message.Message):
        __slots__ = ("worker", "hung_since", "claimed_at")
        WORKER_FIELD_NUMBER: _ClassVar[int]
        HUNG_SINCE_FIELD_NUMBER: _ClassVar[int]
        CLAIMED_AT_FIELD_NUMBER: _ClassVar[int]
        worker: str
        hung_since: _timestamp_pb2.Timestamp
        claimed_at: _timestamp_pb2.Timestamp
        def __init__(self, worker: _Optional[str] = ..., hung_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., claimed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class Running(_message.Message):
        __slots__ = ("worker", "claimed_at", "deadline", "silence", "cancel_requested_at")
        WORKER_FIELD_NUMBER: _ClassVar[int]
        CLAIMED_AT_FIELD_NUMBER: _ClassVar[int]
        DEADLINE_FIELD_NUMBER: _ClassVar[int]
        SILENCE_FIELD_NUMBER: _ClassVar[int]
        CANCEL_REQUESTED_AT_FIELD_NUMBER: _ClassVar[int]
        worker: str
        claimed_at: _timestamp_pb2.Timestamp
        deadline: _timestamp_pb2.Timestamp
        silence: _duration_pb2.Duration
        cancel_requested_at: _timestamp_pb2.Timestamp
        def __init__(self, worker: _Optional[str] = ..., claimed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., silence: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cancel_requested_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class Scheduled(_message.Message):
        __slots__ = ("run_at",)
        RUN_AT_FIELD_NUMBER: _ClassVar[int]
        run_at: _timestamp_pb2.Timestamp
        def __init__(self, run_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class WaitsForRetry(_message.Message):
        __slots__ = ("retry_at", "attempt", "max_attempts", "last_error")
        RETRY_AT_FIELD_NUMBER: _ClassVar[int]
        ATTEMPT_FIELD_NUMBER: _ClassVar[int]
        MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
        LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
        retry_at: _timestamp_pb2.Timestamp
        attempt: int
        max_attempts: int
        last_error: _job_pb2.AttemptFailure
        def __init__(self, retry_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., last_error: _Optional[_Union[_job_pb2.AttemptFailure, _Mapping]] = ...) -> None: ...
    class Pending(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Paused(_message.Message):
        __slots__ = ("scope", "name", "paused_at", "paused_by", "others")
        SCOPE_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        PAUSED_AT_FIELD_NUMBER: _ClassVar[int]
        PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
        OTHERS_FIELD_NUMBER: _ClassVar[int]
        scope: str
        name: str
        paused_at: _timestamp_pb2.Timestamp
        paused_by: str
        others: int
        def __init__(self, scope: _Optional[str] = ..., name: _Optional[str] = ..., paused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused_by: _Optional[str] = ..., others: _Optional[int] = ...) -> None: ...
    class KindUnknown(_message.Message):
        __slots__ = ("kind", "live_workers", "last_known_at")
        KIND_FIELD_NUMBER: _ClassVar[int]
        LIVE_WORKERS_FIELD_NUMBER: _ClassVar[int]
        LAST_KNOWN_AT_FIELD_NUMBER: _ClassVar[int]
        kind: str
        live_workers: int
        last_known_at: _timestamp_pb2.Timestamp
        def __init__(self, kind: _Optional[str] = ..., live_workers: _Optional[int] = ..., last_known_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class VersionUnknown(_message.Message):
        __slots__ = ("kind", "version", "worker_version")
        KIND_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        WORKER_VERSION_FIELD_NUMBER: _ClassVar[int]
        kind: str
        version: int
        worker_version: int
        def __init__(self, kind: _Optional[str] = ..., version: _Optional[int] = ..., worker_version: _Optional[int] = ...) -> None: ...
    class QueueUnserved(_message.Message):
        __slots__ = ("queue", "served_queues")
        QUEUE_FIELD_NUMBER: _ClassVar[int]
        SERVED_QUEUES_FIELD_NUMBER: _ClassVar[int]
        queue: str
        served_queues: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, queue: _Optional[str] = ..., served_queues: _Optional[_Iterable[str]] = ...) -> None: ...
    class JobsDisabled(_message.Message):
        __slots__ = ("workers",)
        WORKERS_FIELD_NUMBER: _ClassVar[int]
        workers: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, workers: _Optional[_Iterable[str]] = ...) -> None: ...
    class QueueFull(_message.Message):
        __slots__ = ("queue", "max_running", "jobs_before", "more")
        QUEUE_FIELD_NUMBER: _ClassVar[int]
        MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
        JOBS_BEFORE_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        queue: str
        max_running: int
        jobs_before: int
        more: bool
        def __init__(self, queue: _Optional[str] = ..., max_running: _Optional[int] = ..., jobs_before: _Optional[int] = ..., more: bool = ...) -> None: ...
    class Behind(_message.Message):
        __slots__ = ("jobs_before", "more", "jobs_per_second", "eta", "free_slots", "workers", "hung_workers")
        JOBS_BEFORE_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        JOBS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
        ETA_FIELD_NUMBER: _ClassVar[int]
        FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
        WORKERS_FIELD_NUMBER: _ClassVar[int]
        HUNG_WORKERS_FIELD_NUMBER: _ClassVar[int]
        jobs_before: int
        more: bool
        jobs_per_second: float
        eta: _duration_pb2.Duration
        free_slots: int
        workers: int
        hung_workers: int
        def __init__(self, jobs_before: _Optional[int] = ..., more: bool = ..., jobs_per_second: _Optional[float] = ..., eta: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., free_slots: _Optional[int] = ..., workers: _Optional[int] = ..., hung_workers: _Optional[int] = ...) -> None: ...
    class Next(_message.Message):
        __slots__ = ("ready_at",)
        READY_AT_FIELD_NUMBER: _ClassVar[int]
        ready_at: _timestamp_pb2.Timestamp
        def __init__(self, ready_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class Duplicate(_message.Message):
        __slots__ = ("job_id", "state", "by", "until")
        JOB_ID_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        BY_FIELD_NUMBER: _ClassVar[int]
        UNTIL_FIELD_NUMBER: _ClassVar[int]
        job_id: str
        state: _job_pb2.JobState
        by: str
        until: _timestamp_pb2.Timestamp
        def __init__(self, job_id: _Optional[str] = ..., state: _Optional[_Union[_job_pb2.JobState, str]] = ..., by: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class NotEnqueued(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    HUNG_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_RETRY_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    KIND_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    VERSION_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    QUEUE_UNSERVED_FIELD_NUMBER: _ClassVar[int]
    JOBS_DISABLED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FULL_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    NOT_ENQUEUED_FIELD_NUMBER: _ClassVar[int]
    summary: str
    finished: Explanation.Finished
    quarantined: Explanation.Quarantined
    hung: Explanation.Hung
    running: Explanation.Running
    scheduled: Explanation.Scheduled
    waits_for_retry: Explanation.WaitsForRetry
    pending: Explanation.Pending
    paused: Explanation.Paused
    kind_unknown: Explanation.KindUnknown
    version_unknown: Explanation.VersionUnknown
    queue_unserved: Explanation.QueueUnserved
    jobs_disabled: Explanation.JobsDisabled
    queue_full: Explanation.QueueFull
    behind: Explanation.Behind
    next: Explanation.Next
    duplicate: Explanation.Duplicate
    not_enqueued: Explanation.NotEnqueued
    def __init__(self, summary: _Optional[str] = ..., finished: _Optional[_Union[Explanation.Finished, _Mapping]] = ..., quarantined: _Optional[_Union[Explanation.Quarantined, _Mapping]] = ..., hung: _Optional[_Union[Explanation.Hung, _Mapping]] = ..., running: _Optional[_Union[Explanation.Running, _Mapping]] = ..., scheduled: _Optional[_Union[Explanation.Scheduled, _Mapping]] = ..., waits_for_retry: _Optional[_Union[Explanation.WaitsForRetry, _Mapping]] = ..., pending: _Optional[_Union[Explanation.Pending, _Mapping]] = ..., paused: _Optional[_Union[Explanation.Paused, _Mapping]] = ..., kind_unknown: _Optional[_Union[Explanation.KindUnknown, _Mapping]] = ..., version_unknown: _Optional[_Union[Explanation.VersionUnknown, _Mapping]] = ..., queue_unserved: _Optional[_Union[Explanation.QueueUnserved, _Mapping]] = ..., jobs_disabled: _Optional[_Union[Explanation.JobsDisabled, _Mapping]] = ..., queue_full: _Optional[_Union[Explanation.QueueFull, _Mapping]] = ..., behind: _Optional[_Union[Explanation.Behind, _Mapping]] = ..., next: _Optional[_Union[Explanation.Next, _Mapping]] = ..., duplicate: _Optional[_Union[Explanation.Duplicate, _Mapping]] = ..., not_enqueued: _Optional[_Union[Explanation.NotEnqueued, _Mapping]] = ...) -> None: ...
