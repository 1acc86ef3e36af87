"""Finds the fields of a message's old form that its new form can't decode.

The rules are those of protobuf's wire format, where numbers identify fields and names don't matter. Added fields and
enum values, wider integers, bytes instead of a string and repeated fields instead of single ones can be decoded, and
are not reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

# The other types that decode every value of a type to the same value.
_WIDER = {
    "bool": {"int32", "int64", "uint32", "uint64"},
    "int32": {"int64"},
    "uint32": {"int64", "uint64"},
    "sint32": {"sint64"},
    "enum": {"int32", "int64"},
    "string": {"bytes"},
}


class ChangeType(Enum):
    """How a field has changed."""

    REMOVED = "FIELD_REMOVED"
    RENUMBERED = "FIELD_RENUMBERED"
    RETYPED = "FIELD_RETYPED"
    VALUE_REMOVED = "ENUM_VALUE_REMOVED"


@dataclass(frozen=True)
class Change:
    """A field whose values the new form decodes differently, or not at all."""

    what: ChangeType
    message: str
    """The full name, before the change, of the message that has the field."""
    field: str
    number: int
    """0 in JSON, where fields have no numbers."""
    before: str
    """Its type: "string", "repeated int32"; or an enum's value."""
    after: str
    """Its type or number now; empty if it was removed."""
    value: int = 0
    """Of a removed enum value: its number."""

    def __str__(self) -> str:
        where = f"{self.message}.{self.field}" + (f" (= {self.number})" if self.number else "")
        match self.what:
            case ChangeType.REMOVED:
                return f"{where}, {self.before}, was removed"
            case ChangeType.RENUMBERED:
                return f"{where}, {self.before}, has the number {self.after} now"
            case ChangeType.RETYPED:
                return f"{where} was {self.before} and is {self.after} now"
            case ChangeType.VALUE_REMOVED:
                return f"{where} can't be {self.before} (= {self.value}) any more"


def changes(before: Descriptor, after: Descriptor) -> list[Change]:
    """Returns what `after` can't decode of messages of the form `before`, including the messages in its fields."""
    found: dict[Change, None] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(before, after)]
    while waiting:
        old, new = waiting.pop()
        if (old.full_name, new.full_name) in seen:
            continue
        seen.add((old.full_name, new.full_name))
        for field in old.fields:
            found.update(dict.fromkeys(_of_field(old.full_name, field, new)))
            now = new.fields_by_number.get(field.number)
            if now is not None and field.message_type is not None and now.message_type is not None:
                waiting.append((field.message_type, now.message_type))
    return sorted(found, key=lambda change: (change.message, change.number, change.value))


def used(message: Message, wanted: Iterable[Change]) -> set[Change]:
    """Returns the changes that concern a field which is set in this message of the old form."""
    by_field: dict[tuple[str, int], list[Change]] = {}
    for change in wanted:
        by_field.setdefault((change.message, change.number), []).append(change)
    return {
        change
        for owner, number, values in _all_set(message)
        for change in by_field.get((owner, number), ())
        if change.what is not ChangeType.VALUE_REMOVED or change.value in values
    }


def _of_field(owner: str, field: FieldDescriptor, new: Descriptor) -> Iterator[Change]:
    now = new.fields_by_number.get(field.number)
    moved = new.fields_by_name.get(field.name)
    if moved is not None and moved.number != field.number:
        yield Change(ChangeType.RENUMBERED, owner, field.name, field.number, _type(field), str(moved.number))
    elif now is None:
        yield Change(ChangeType.REMOVED, owner, field.name, field.number, _type(field), "")
    elif not _reads(field, now):
        yield Change(ChangeType.RETYPED, owner, field.name, field.number, _type(field), _type(now))
    elif field.enum_type is not None and now.enum_type is not None:
        for number, value in field.enum_type.values_by_number.items():
            if number not in now.enum_type.values_by_number:
                yield Change(ChangeType.VALUE_REMOVED, owner, field.name, field.number, value.name, "", number)


def _reads(before: FieldDescriptor, after: FieldDescriptor) -> bool:
    """Returns whether the new field decodes each value of the old one to the same value."""
    if before.is_repeated and not after.is_repeated:
        return False
    was, now = _type_names()[before.type], _type_names()[after.type]
    return was == now or now in _WIDER.get(was, ())


@cache
def _type_names() -> Mapping[int, str]:
    from google.protobuf.descriptor import FieldDescriptor  # noqa: PLC0415  (not needed where all kinds are JSON)

    return {
        value: name.removeprefix("TYPE_").lower()
        for name, value in vars(FieldDescriptor).items()
        if name.startswith("TYPE_") and isinstance(value, int)
    }


def _type(field: FieldDescriptor) -> str:
    name = _type_names()[field.type]
    if field.message_type is not None:
        name = field.message_type.full_name
    elif field.enum_type is not None:
        name = field.enum_type.full_name
    return f"repeated {name}" if field.is_repeated else name


def _all_set(message: Message) -> Iterator[tuple[str, int, Collection[Any]]]:
    """Returns every field that is set in a message or in one within it: its message's name, its number, its values."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        for field, value in part.ListFields():
            values: Collection[Any] = value if field.is_repeated else [value]
            yield part.DESCRIPTOR.full_name, field.number, values
            if field.message_type is None:
                continue
            if field.message_type.GetOptions().map_entry:
                yield field.message_type.full_name, 1, value.keys()
                values = value.values()
                yield field.message_type.full_name, 2, values
                if field.message_type.fields_by_number[2].message_type is None:
                    continue
            waiting += values
