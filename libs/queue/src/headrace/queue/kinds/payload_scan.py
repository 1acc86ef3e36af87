"""Finds what a kind's present form can't decode in payloads that were written under its earlier forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.queue.errors import PayloadUnreadableError
from headrace.queue.kinds.field_changes import Change, ChangeType, changes, used
from headrace.queue.kinds.kind import Kind
from headrace.queue.kinds.revisions import Revision

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

NAMED_JOBS = 10

PayloadProblem = Change | str
"""A change of a field that is set in the payload, or why the payload can't be decoded at all."""
Scan = Callable[[bytes], Iterable[PayloadProblem]]


@dataclass
class ProblemCount:
    """How many jobs have which problem, and the first ten of them."""

    jobs: dict[PayloadProblem, tuple[int, list[int]]] = field(default_factory=dict)

    def add(self, job_id: int, problems: Iterable[PayloadProblem]) -> None:
        """Counts a job."""
        for problem in problems:
            count, ids = self.jobs.get(problem, (0, []))
            self.jobs[problem] = (count + 1, sorted([*ids, job_id])[:NAMED_JOBS])


def payload_scanner(kind: Kind, revisions: Sequence[Revision]) -> Scan | None:
    """Returns a function that finds the problems of a payload that was written under one of these forms of its kind.

    None if there can't be a problem, so that no payload has to be read.
    """
    message = kind.codec.descriptor
    if message is None:
        return lambda payload: _json_problems(kind, payload)
    return _message_scanner(kind, message, revisions)


def _json_problems(kind: Kind, payload: bytes) -> Iterator[PayloadProblem]:
    try:
        kind.codec.decode(payload)
    except PayloadUnreadableError as error:
        yield error.reason
        return
    content = json.loads(payload)
    for name in sorted(set(content) - kind.codec.fields) if isinstance(content, dict) else ():
        yield Change(ChangeType.REMOVED, kind.name, name, 0, "a JSON value", "")


def _message_scanner(kind: Kind, message: Descriptor, revisions: Sequence[Revision]) -> Scan | None:
    from google.protobuf.message import DecodeError  # noqa: PLC0415  (not needed where all kinds are JSON)
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    older = [
        (GetMessageClass(revision.message), found)
        for revision in revisions
        if (found := changes(revision.message, message))
    ]
    if revisions and not older:
        return None

    def scan(payload: bytes) -> Iterator[PayloadProblem]:
        seen: set[Change] = set()
        for message_class, found in older:
            with suppress(DecodeError):  # it was written under another form
                seen |= used(message_class.FromString(payload), found)
        yield from seen
        try:
            decoded = kind.codec.decode(payload)
        except PayloadUnreadableError as error:
            yield error.reason
        else:
            if not revisions:
                yield from _unregistered(kind, decoded)

    return scan


def _unregistered(kind: Kind, message: Message) -> Iterator[Change]:
    """Returns fields that are set but unknown to the kind, and that no process has registered."""
    from google.protobuf.unknown_fields import UnknownFieldSet  # noqa: PLC0415

    unknown: Any = UnknownFieldSet(message)
    for number in sorted({each.field_number for each in unknown}):
        yield Change(ChangeType.REMOVED, kind.name, "field", number, "which is not registered", "")
