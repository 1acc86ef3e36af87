"""What a message's new form can't read of what was written in its old form.

The rules are those of protobuf's wire format: fields are known by their numbers, names count for nothing. Added fields
and enum values, wider integers, bytes in the place of a string and repeated fields in the place of single ones are read
well, and so are no changes here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_TYPES = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in vars(FieldDescriptor).items()
    if name.startswith("TYPE_") and isinstance(value, int)
}
# What else reads a type's values, each of them, as what it was.
_WIDER = {
    "bool": {"int32", "int64", "uint32", "uint64"},
    "int32": {"int64"},
    "uint32": {"int64", "uint64"},
    "sint32": {"sint64"},
    "enum": {"int32", "int64"},
    "string": {"bytes"},
}


class ChangeType(Enum):
    """What has become of a field."""

    REMOVED = "FIELD_REMOVED"
    RENUMBERED = "FIELD_RENUMBERED"
    RETYPED = "FIELD_RETYPED"
    VALUE_REMOVED = "ENUM_VALUE_REMOVED"


@dataclass(frozen=True)
class Change:
    """A field that is not read any more as what it was."""

    what: ChangeType
    message: str
    """The full name, before, of the message that has the field."""
    field: str
    number: int
    """0 where fields have none: in JSON."""
    before: str
    """What it was: "string", "repeated int32", or an enum's value."""
    after: str
    """What it is now; empty where it is nothing."""
    value: int = 0
    """Of a removed enum value: its number."""

    def __str__(self) -> str:
        where = f"{self.message}.{self.field}" + (f" (= {self.number})" if self.number else "")
        match self.what:
            case ChangeType.REMOVED:
                return f"{where}, {self.before}, is gone"
            case ChangeType.RENUMBERED:
                return f"{where}, {self.before}, has the number {self.after} now"
            case ChangeType.RETYPED:
                return f"{where} was {self.before} and is {self.after} now"
            case ChangeType.VALUE_REMOVED:
                return f"{where} can't be {self.before} (= {self.value}) any more"


def changes(before: Descriptor, after: Descriptor) -> list[Change]:
    """What `after` can't read of what was written as `before`, in the messages of its fields as well."""
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
    """Which of these changes concern something that is set in a message of the old form."""
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
    """Whether each value of the one is read as what it was by the other."""
    if before.is_repeated and not after.is_repeated:
        return False
    was, now = _TYPES[before.type], _TYPES[after.type]
    return was == now or now in _WIDER.get(was, ())


def _type(field: FieldDescriptor) -> str:
    name = _TYPES[field.type]
    if field.message_type is not None:
        name = field.message_type.full_name
    elif field.enum_type is not None:
        name = field.enum_type.full_name
    return f"repeated {name}" if field.is_repeated else name


def _all_set(message: Message) -> Iterator[tuple[str, int, Collection[Any]]]:
    """Every field that is set in a message or in one within it: its message, its number, its values."""
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
