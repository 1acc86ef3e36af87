import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MissedRuns(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISSED_RUNS_UNSPECIFIED: _ClassVar[MissedRuns]
    MISSED_RUNS_SKIP: _ClassVar[MissedRuns]
    MISSED_RUNS_ONE: _ClassVar[MissedRuns]
    MISSED_RUNS_ALL: _ClassVar[MissedRuns]
MISSED_RUNS_UNSPECIFIED: MissedRuns
MISSED_RUNS_SKIP: MissedRuns
MISSED_RUNS_ONE: MissedRuns
MISSED_RUNS_ALL: MissedRuns

class PeriodicJob(_message.Message):
    __slots__ = ("name", "payload", "every", "cron", "time_zone", "missed_runs", "missed_window", "declared", "last_run", "next_runs", "paused_at", "paused_by", "veiled_fields")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    MISSED_RUNS_FIELD_NUMBER: _ClassVar[int]
    MISSED_WINDOW_FIELD_NUMBER: _ClassVar[int]
    DECLARED_FIELD_NUMBER: _ClassVar[int]
    LAST_RUN_FIELD_NUMBER: _ClassVar[int]
    NEXT_RUNS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_AT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
    VEILED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    payload: _any_pb2.Any
    every: _duration_pb2.Duration
    cron: str
    time_zone: str
    missed_runs: MissedRuns
    missed_window: _duration_pb2.Duration
    declared: bool
    last_run: _timestamp_pb2.Timestamp
    next_runs: _containers.RepeatedCompositeFieldContainer[_timestamp_pb2.Timestamp]
    paused_at: _timestamp_pb2.Timestamp
    paused_by: str
    veiled_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., payload: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., every: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cron: _Optional[str] = ..., time_zone: _Optional[str] = ..., missed_runs: _Optional[_Union[MissedRuns, str]] = ..., missed_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., declared: bool = ..., last_run: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_runs: _Optional[_Iterable[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]]] = ..., paused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused_by: _Optional[str] = ..., veiled_fields: _Optional[_Iterable[str]] = ...) -> None: ...
