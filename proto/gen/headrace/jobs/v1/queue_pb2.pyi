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

class Queue(_message.Message):
    __slots__ = ("name", "paused_at", "paused_by", "max_running", "retention", "max_depth")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAUSED_AT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    MAX_DEPTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    paused_at: _timestamp_pb2.Timestamp
    paused_by: str
    max_running: int
    retention: Retention
    max_depth: int
    def __init__(self, name: _Optional[str] = ..., paused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused_by: _Optional[str] = ..., max_running: _Optional[int] = ..., retention: _Optional[_Union[Retention, _Mapping]] = ..., max_depth: _Optional[int] = ...) -> None: ...

class Retention(_message.Message):
    __slots__ = ("completed", "cancelled", "discarded", "quarantined")
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    completed: _duration_pb2.Duration
    cancelled: _duration_pb2.Duration
    discarded: _duration_pb2.Duration
    quarantined: _duration_pb2.Duration
    def __init__(self, completed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cancelled: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., discarded: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., quarantined: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ("all", "kind", "queue", "paused_at", "paused_by")
    ALL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PAUSED_AT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
    all: bool
    kind: str
    queue: str
    paused_at: _timestamp_pb2.Timestamp
    paused_by: str
    def __init__(self, all: bool = ..., kind: _Optional[str] = ..., queue: _Optional[str] = ..., paused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused_by: _Optional[str] = ...) -> None: ...

class QueueStats(_message.Message):
    __slots__ = ("queue", "counts", "oldest_wait", "jobs_per_second", "drain_time", "workers")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_WAIT_FIELD_NUMBER: _ClassVar[int]
    JOBS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIME_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    queue: str
    counts: _containers.RepeatedCompositeFieldContainer[StateCount]
    oldest_wait: _duration_pb2.Duration
    jobs_per_second: float
    drain_time: _duration_pb2.Duration
    workers: int
    def __init__(self, queue: _Optional[str] = ..., counts: _Optional[_Iterable[_Union[StateCount, _Mapping]]] = ..., oldest_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., jobs_per_second: _Optional[float] = ..., drain_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., workers: _Optional[int] = ...) -> None: ...

class StateCount(_message.Message):
    __slots__ = ("state", "jobs", "more")
    STATE_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    state: _job_pb2.JobState
    jobs: int
    more: bool
    def __init__(self, state: _Optional[_Union[_job_pb2.JobState, str]] = ..., jobs: _Optional[int] = ..., more: bool = ...) -> None: ...
