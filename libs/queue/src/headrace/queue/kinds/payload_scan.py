"""What is wrong with payloads that were written under earlier forms of their kind: fields that are lost, and worse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from headrace.queue.errors import PayloadUnreadableError
from headrace.queue.kinds.field_changes import Change, ChangeType, changes, used
from headrace.queue.kinds.kind import Kind
from headrace.queue.kinds.revisions import Revision, descriptor_of

NAMED_JOBS = 10

PayloadProblem = Change | str
"""A change of a field that is set in the payload, or why the payload can't be read at all."""


@dataclass
class ProblemCount:
    """How many jobs are in which trouble, and the first ten of them."""

    jobs: dict[PayloadProblem, tuple[int, list[int]]] = field(default_factory=dict)

    def add(self, job_id: int, troubles: Iterable[PayloadProblem]) -> None:
        """Counts a job in."""
        for trouble in troubles:
            count, ids = self.jobs.get(trouble, (0, []))
            self.jobs[trouble] = (count + 1, sorted([*ids, job_id])[:NAMED_JOBS])


def payload_scanner(kind: Kind, revisions: Sequence[Revision]) -> Callable[[bytes], Iterable[PayloadProblem]] | None:
    """What tells the troubles of a payload that was written under one of these forms of its kind.

    None where there can be none, so that no payload has to be read.
    """
    message = descriptor_of(kind)
    if message is None:
        return lambda payload: _of_json(kind, payload)
    older = [
        (GetMessageClass(revision.message), found)
        for revision in revisions
        if (found := changes(revision.message, message))
    ]
    if revisions and not older:
        return None

    def look(payload: bytes) -> Iterator[PayloadProblem]:
        seen: set[Change] = set()
        for message_class, found in older:
            with suppress(DecodeError):  # it was written under another one
                seen |= used(message_class.FromString(payload), found)
        yield from seen
        try:
            decoded = kind.codec.decode(payload)
        except PayloadUnreadableError as error:
            yield error.reason
        else:
            if not revisions:
                yield from _unregistered(kind, decoded)

    return look


def _of_json(kind: Kind, payload: bytes) -> Iterator[PayloadProblem]:
    try:
        kind.codec.decode(payload)
    except PayloadUnreadableError as error:
        yield error.reason
        return
    content = json.loads(payload)
    for name in sorted(set(content) - kind.codec.fields) if isinstance(content, dict) else ():
        yield Change(ChangeType.REMOVED, kind.name, name, 0, "a JSON value", "")


def _unregistered(kind: Kind, message: Message) -> Iterator[Change]:
    """Fields that are set, and that the kind hasn't, where nobody has registered what they were."""
    unknown: Any = UnknownFieldSet(message)
    for number in sorted({each.field_number for each in unknown}):
        yield Change(ChangeType.REMOVED, kind.name, "field", number, "which nobody has registered", "")
