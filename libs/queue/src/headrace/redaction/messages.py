"""Returns protobuf messages without their redacted values, and these values.

Redacted are the values of fields with `debug_redact`, at any depth: in messages, lists and maps, and in an `Any` whose
type this process knows. What it can't decode (an `Any` of an unknown type, a field of a newer .proto file) counts as
redacted, because it may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf import any_pb2, unknown_fields
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from headrace.redaction.text import MASK, Secret

# The depth to which protobuf itself parses a message. It counts from 0 again in each `Any`; this module does not.
DEEPEST = 100
ANY = any_pb2.Any.DESCRIPTOR.full_name
M = TypeVar("M", bound=Message)


def may_redact(message_class: type[Message]) -> bool:
    """Returns whether messages of a type can hold redacted values: a type in it has such a field, or is an Any."""
    return any(
        each.full_name == ANY or any(field.GetOptions().debug_redact for field in each.fields)
        for each in types_in(message_class)
    )


def types_in(message_class: type[Message]) -> Iterator[Descriptor]:
    """Returns the types of all messages that a message of a type may contain, its own first; Any is not looked into."""
    seen: set[str] = set()
    waiting: list[Any] = [message_class.DESCRIPTOR]
    while waiting:
        each = waiting.pop()
        if each.full_name not in seen:
            yield each
            seen.add(each.full_name)
            waiting += [field.message_type for field in each.fields if field.message_type is not None]


def redacted(message: M) -> tuple[M, tuple[str, ...]]:
    """Returns a copy of a message without its redacted values, and the paths of these: "address.street", "lines[2]".

    A redacted text becomes `MASK`, and so does each of a list of texts; anything else is unset. A field without a value
    has no path. The path of a field that this process does not know is its number: "#9".
    """
    copy = type(message)()
    copy.CopyFrom(message)
    return copy, tuple(_redact(copy, "", DEEPEST))


def redacted_fields(message: Message) -> tuple[str, ...]:
    """Returns the paths of redacted texts that read `MASK`: the client sent back what it was shown."""
    return tuple(_masked(message, "", DEEPEST))


def secrets_of(message: Message) -> Iterator[Secret]:
    """Returns every redacted value of a message: texts, bytes, numbers, and each of those within redacted messages."""
    return _secrets(message, DEEPEST, all_of_it=False)


def _redact(message: Message, prefix: str, depth: int) -> Iterator[str]:
    for field, value in message.ListFields():
        path = prefix + _name(field)
        if field.GetOptions().debug_redact:
            yield path
            _blank(message, field, value)
        elif field.message_type is not None:
            for step, inner in _messages(field, value):
                yield from _redact_inner(inner, path + step, depth - 1)
    unknown: Any = unknown_fields.UnknownFieldSet(message)
    if numbers := sorted({field.field_number for field in unknown}):
        yield from (f"{prefix}#{number}" for number in numbers)
        message.DiscardUnknownFields()  # those of inner messages are removed already


def _redact_inner(message: Message, path: str, depth: int) -> Iterator[str]:
    if message.DESCRIPTOR.full_name != ANY:
        yield from _redact(message, f"{path}.", depth)
        return
    held: Any = message
    inner = _opened(held, depth)
    if inner is None:
        if held.value:
            yield path
            held.value = b""
        return
    if paths := list(_redact(inner, f"{path}.", depth)):
        yield from paths
        held.value = inner.SerializeToString()


def _masked(message: Message, prefix: str, depth: int) -> Iterator[str]:
    for field, value in message.ListFields():
        path = prefix + _name(field)
        if field.GetOptions().debug_redact:
            if _is_text(field) and MASK in (value if field.is_repeated else [value]):
                yield path
        elif field.message_type is not None:
            for step, inner in _messages(field, value):
                held = _opened(inner, depth) if inner.DESCRIPTOR.full_name == ANY else inner
                if held is not None:
                    yield from _masked(held, f"{path}{step}.", depth - 1)


def _secrets(message: Message, depth: int, *, all_of_it: bool) -> Iterator[Secret]:
    for field, value in message.ListFields():
        redacted = all_of_it or field.GetOptions().debug_redact
        if redacted and _is_map(field):
            yield from value  # the keys; the values follow below
        if field.message_type is not None and not _is_map_of_scalars(field):
            for _, inner in _messages(field, value):
                yield from _secrets_inside(inner, depth - 1, all_of_it=redacted)
        elif redacted and field.enum_type is None and field.cpp_type != FieldDescriptor.CPPTYPE_BOOL:
            yield from value.values() if _is_map(field) else value if field.is_repeated else [value]


def _secrets_inside(message: Message, depth: int, *, all_of_it: bool) -> Iterator[Secret]:
    if message.DESCRIPTOR.full_name == ANY:
        inner = _opened(message, depth)
        if inner is not None:
            yield from _secrets(inner, depth, all_of_it=all_of_it)
        return
    written = getattr(message, "ToJsonString", None) if all_of_it else None
    if written is not None:  # a text is more likely to contain a time as written than its numbers
        try:
            yield written()
        except ValueError:  # out of range: no text contains it
            return
    yield from _secrets(message, depth, all_of_it=all_of_it)


def _opened(held: Any, depth: int) -> Message | None:
    """Returns the message that an Any holds; None if this process can't decode it."""
    if depth <= 0:
        return None
    try:
        descriptor = held.DESCRIPTOR.file.pool.FindMessageTypeByName(held.TypeName())
        inner: Message = GetMessageClass(descriptor).FromString(held.value)
    except (KeyError, DecodeError):
        return None
    return inner


def _messages(field: FieldDescriptor, value: Any) -> Iterator[tuple[str, Message]]:
    """Returns the messages that a field holds, each with its index or key as part of a path."""
    if _is_map(field):
        if not _is_map_of_scalars(field):
            for key in value:
                yield f"[{key}]", value[key]
    elif field.is_repeated:
        for place, inner in enumerate(value):
            yield f"[{place}]", inner
    else:
        yield "", value


def _blank(message: Any, field: Any, value: Any) -> None:
    if not _is_text(field):
        if field.is_extension:
            message.ClearExtension(field)
        else:
            message.ClearField(field.name)
    elif field.is_repeated:
        value[:] = [MASK] * len(value)
    elif field.is_extension:
        message.Extensions[field] = MASK
    else:
        setattr(message, field.name, MASK)


def _is_text(field: FieldDescriptor) -> bool:
    return field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.type != FieldDescriptor.TYPE_BYTES


def _name(field: FieldDescriptor) -> str:
    return f"[{field.full_name}]" if field.is_extension else field.name


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_map_of_scalars(field: FieldDescriptor) -> bool:
    entry: Any = field.message_type
    return _is_map(field) and entry.fields_by_name["value"].message_type is None
