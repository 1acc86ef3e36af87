"""Kinds that are protobuf messages: those with the option `headrace.jobs.v1.job`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from headrace.queue.kinds.declaration import Declaration, NotAJobKindError

JOB_OPTION = "headrace.jobs.v1.job"


def message_classes(files: Iterable[FileDescriptor]) -> Iterator[type[Message]]:
    """Returns the classes of those messages of generated modules that have the option."""
    for file in files:
        for descriptor in file.message_types_by_name.values():
            if _option(descriptor) is not None:
                yield GetMessageClass(descriptor)


def declaration_of_message(message_class: type[Message]) -> Declaration:
    """Returns what a message's option declares.

    Raises:
        NotAJobKindError: The message does not have the option.
    """
    descriptor: Any = message_class.DESCRIPTOR
    option = _option(descriptor)
    if option is None:
        raise NotAJobKindError(
            f"{descriptor.full_name} is not a job kind: set `option (headrace.jobs.v1.job) = {{…}}` on it"
        )
    return Declaration(
        name=descriptor.full_name,
        queue=option.queue or None,
        max_retries=option.max_retries if option.HasField("max_retries") else None,
        timeout=option.timeout.ToTimedelta() if option.HasField("timeout") else None,
        version=option.version or 1,
        priority=option.priority if option.HasField("priority") else None,
        former_names=tuple(option.former_names),
    )


def _option(descriptor: Descriptor) -> Any:
    # By name: the user's generated code may have its own copy of options.proto.
    return next((value for field, value in descriptor.GetOptions().ListFields() if field.full_name == JOB_OPTION), None)
