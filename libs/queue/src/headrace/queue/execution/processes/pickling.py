"""Pickles handlers for their processes, with the protobuf classes that they refer to."""

from __future__ import annotations

import io
import pickle
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from headrace.queue.kinds.message_class import is_message_class

if TYPE_CHECKING:
    from google.protobuf.message import Message


def pickled(thing: Any) -> bytes:
    """Returns anything pickled."""
    file = io.BytesIO()
    _Pickler(file).dump(thing)
    return file.getvalue()


def message_class(module: str, full_name: str) -> type[Message]:
    """Returns the class of a message, in the process. Imports its module if there is one."""
    from google.protobuf import descriptor_pool  # noqa: PLC0415  (only handlers of messages need protobuf)
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    if module:
        with suppress(ModuleNotFoundError):
            import_module(module)
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))


class _Pickler(pickle.Pickler):
    """Writes protobuf classes by their full names, because not all of them can be imported."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, type) and is_message_class(thing):
            return message_class, (thing.__module__, thing.DESCRIPTOR.full_name)
        return NotImplemented
