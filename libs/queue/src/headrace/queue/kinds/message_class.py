"""Tells protobuf messages from other payloads without importing protobuf, which only messages need."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.message import Message
    from typing_extensions import TypeIs

_ANY = "google.protobuf.Any"


def is_message_class(payload_class: type[Any]) -> TypeIs[type[Message]]:
    """Returns whether a class is a protobuf message's. Where it is, its parent's module has been imported."""
    module = sys.modules.get("google.protobuf.message")
    return module is not None and issubclass(payload_class, module.Message)


def is_any(payload: object) -> TypeIs[AnyMessage]:
    """Returns whether a payload is a google.protobuf.Any."""
    payload_class = type(payload)
    return is_message_class(payload_class) and payload_class.DESCRIPTOR.full_name == _ANY
