from headrace.jobs.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class SendVerificationEmail(_message.Message):
    __slots__ = ("mail_id",)
    MAIL_ID_FIELD_NUMBER: _ClassVar[int]
    mail_id: str
    def __init__(self, mail_id: _Optional[str] = ...) -> None: ...

class SendPasswordResetEmail(_message.Message):
    __slots__ = ("mail_id",)
    MAIL_ID_FIELD_NUMBER: _ClassVar[int]
    mail_id: str
    def __init__(self, mail_id: _Optional[str] = ...) -> None: ...

class SendNotificationEmail(_message.Message):
    __slots__ = ("mail_id",)
    MAIL_ID_FIELD_NUMBER: _ClassVar[int]
    mail_id: str
    def __init__(self, mail_id: _Optional[str] = ...) -> None: ...

class ProcessStripeWebhook(_message.Message):
    __slots__ = ("inbox_id",)
    INBOX_ID_FIELD_NUMBER: _ClassVar[int]
    inbox_id: str
    def __init__(self, inbox_id: _Optional[str] = ...) -> None: ...

class ReconcileStripe(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
