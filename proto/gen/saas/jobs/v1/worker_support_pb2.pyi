import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobLease(_message.Message):
    __slots__ = ("job_id", "lease")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    lease: int
    def __init__(self, job_id: _Optional[str] = ..., lease: _Optional[int] = ...) -> None: ...

class RenderMailRequest(_message.Message):
    __slots__ = ("mail_id", "lease")
    MAIL_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    mail_id: str
    lease: JobLease
    def __init__(self, mail_id: _Optional[str] = ..., lease: _Optional[_Union[JobLease, _Mapping]] = ...) -> None: ...

class RenderedMail(_message.Message):
    __slots__ = ("to", "subject", "text", "html", "message_id", "date")
    TO_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    to: str
    subject: str
    text: str
    html: str
    message_id: str
    date: _timestamp_pb2.Timestamp
    def __init__(self, to: _Optional[str] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ..., message_id: _Optional[str] = ..., date: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class RenderMailResponse(_message.Message):
    __slots__ = ("mail", "already_sent_at", "dropped")
    MAIL_FIELD_NUMBER: _ClassVar[int]
    ALREADY_SENT_AT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    mail: RenderedMail
    already_sent_at: _timestamp_pb2.Timestamp
    dropped: str
    def __init__(self, mail: _Optional[_Union[RenderedMail, _Mapping]] = ..., already_sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dropped: _Optional[str] = ...) -> None: ...

class RecordMailSentRequest(_message.Message):
    __slots__ = ("mail_id", "lease")
    MAIL_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    mail_id: str
    lease: JobLease
    def __init__(self, mail_id: _Optional[str] = ..., lease: _Optional[_Union[JobLease, _Mapping]] = ...) -> None: ...

class RecordMailSentResponse(_message.Message):
    __slots__ = ("sent_at",)
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    sent_at: _timestamp_pb2.Timestamp
    def __init__(self, sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DrawFetchSequenceRequest(_message.Message):
    __slots__ = ("inbox_id",)
    INBOX_ID_FIELD_NUMBER: _ClassVar[int]
    inbox_id: str
    def __init__(self, inbox_id: _Optional[str] = ...) -> None: ...

class DrawFetchSequenceResponse(_message.Message):
    __slots__ = ("sequence", "event_id", "event_type", "object_type", "object_id", "done")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    event_id: str
    event_type: str
    object_type: str
    object_id: str
    done: bool
    def __init__(self, sequence: _Optional[int] = ..., event_id: _Optional[str] = ..., event_type: _Optional[str] = ..., object_type: _Optional[str] = ..., object_id: _Optional[str] = ..., done: bool = ...) -> None: ...

class ApplyStripeEventRequest(_message.Message):
    __slots__ = ("inbox_id", "sequence", "object_json")
    INBOX_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_JSON_FIELD_NUMBER: _ClassVar[int]
    inbox_id: str
    sequence: int
    object_json: bytes
    def __init__(self, inbox_id: _Optional[str] = ..., sequence: _Optional[int] = ..., object_json: _Optional[bytes] = ...) -> None: ...

class ApplyStripeEventResponse(_message.Message):
    __slots__ = ("applied",)
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    applied: bool
    def __init__(self, applied: bool = ...) -> None: ...

class RecordStripeEventsRequest(_message.Message):
    __slots__ = ("events_json",)
    EVENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    events_json: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, events_json: _Optional[_Iterable[bytes]] = ...) -> None: ...

class RecordStripeEventsResponse(_message.Message):
    __slots__ = ("recorded",)
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    def __init__(self, recorded: _Optional[int] = ...) -> None: ...

class RequeueStripeEventsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RequeueStripeEventsResponse(_message.Message):
    __slots__ = ("requeued",)
    REQUEUED_FIELD_NUMBER: _ClassVar[int]
    requeued: int
    def __init__(self, requeued: _Optional[int] = ...) -> None: ...
