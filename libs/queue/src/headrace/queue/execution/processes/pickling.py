"""Pickles handlers for their processes, with the protobuf classes that they refer to."""

from __future__ import annotations

import io
import pickle
from contextlib import suppress
from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


def pickled(thing: Any) -> bytes:
    """Returns anything pickled."""
    file = io.BytesIO()
    _Pickler(file).dump(thing)
    return file.getvalue()


def message_class(module: str, full_name: str) -> type[Message]:
    """Returns the class of a message, in the process. Imports its module if there is one."""
    if module:
        with suppress(ModuleNotFoundError):
            import_module(module)
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))


class _Pickler(pickle.Pickler):
    """Writes protobuf classes by their full names, because not all of them can be imported."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, type) and issubclass(thing, Message):
            return message_class, (thing.__module__, thing.DESCRIPTOR.full_name)
        return NotImplemented
