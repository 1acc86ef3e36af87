import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobKind(_message.Message):
    __slots__ = ("name", "queue", "max_retries", "timeout", "version", "priority", "description", "fields", "worker_version", "paused_at", "paused_by", "former_names")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    WORKER_VERSION_FIELD_NUMBER: _ClassVar[int]
    PAUSED_AT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
    FORMER_NAMES_FIELD_NUMBER: _ClassVar[int]
    name: str
    queue: str
    max_retries: int
    timeout: _duration_pb2.Duration
    version: int
    priority: int
    description: str
    fields: _containers.RepeatedCompositeFieldContainer[PayloadField]
    worker_version: int
    paused_at: _timestamp_pb2.Timestamp
    paused_by: str
    former_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., queue: _Optional[str] = ..., max_retries: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., version: _Optional[int] = ..., priority: _Optional[int] = ..., description: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[PayloadField, _Mapping]]] = ..., worker_version: _Optional[int] = ..., paused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused_by: _Optional[str] = ..., former_names: _Optional[_Iterable[str]] = ...) -> None: ...

class PayloadField(_message.Message):
    __slots__ = ("name", "json_name", "type", "type_name", "repeated", "map_key_type", "required", "oneof", "redacted", "enum_values", "fields", "description", "rules")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JSON_NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    MAP_KEY_TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    ONEOF_FIELD_NUMBER: _ClassVar[int]
    REDACTED_FIELD_NUMBER: _ClassVar[int]
    ENUM_VALUES_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    name: str
    json_name: str
    type: str
    type_name: str
    repeated: bool
    map_key_type: str
    required: bool
    oneof: str
    redacted: bool
    enum_values: _containers.RepeatedScalarFieldContainer[str]
    fields: _containers.RepeatedCompositeFieldContainer[PayloadField]
    description: str
    rules: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., json_name: _Optional[str] = ..., type: _Optional[str] = ..., type_name: _Optional[str] = ..., repeated: bool = ..., map_key_type: _Optional[str] = ..., required: bool = ..., oneof: _Optional[str] = ..., redacted: bool = ..., enum_values: _Optional[_Iterable[str]] = ..., fields: _Optional[_Iterable[_Union[PayloadField, _Mapping]]] = ..., description: _Optional[str] = ..., rules: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
