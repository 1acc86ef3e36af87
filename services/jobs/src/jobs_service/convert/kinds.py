"""Kinds, with what a client needs to write a job of one: as a form shows it."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from headrace.jobs.v1 import kind_pb2
from headrace.queue import Kind, Pause
from jobs_service.convert.field_rules import field_rules
from jobs_service.convert.values import write_duration, write_time

TYPES: Mapping[int, str] = {
    getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name
    for name in (
        *("double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64"),
        *("sfixed32", "sfixed64", "bool", "string", "bytes", "enum", "message", "group"),
    )
}
# What has a form of its own in JSON, and is one value to a person.
_WELL_KNOWN = "google.protobuf."
_KEY, _VALUE = "key", "value"


def write_kind(
    kind: Kind, comments: Mapping[str, str], *, worker_version: int, pause: Pause | None
) -> kind_pb2.JobKind:
    """Writes a kind with the values in force.

    Args:
        kind: The kind.
        comments: What the .proto files say of messages and fields, by their full names.
        worker_version: The highest version that a live worker runs; 0 when none knows the kind.
        pause: Its pause, if it is paused.
    """
    payload: Descriptor = kind.message_class.DESCRIPTOR
    answer = kind_pb2.JobKind(
        name=kind.name,
        queue=kind.queue,
        max_retries=kind.max_retries,
        version=kind.version,
        priority=kind.priority,
        description=comments.get(kind.name, ""),
        fields=_fields(payload, comments, above=()),
        worker_version=worker_version,
        former_names=kind.former_names,
    )
    write_duration(answer.timeout, kind.timeout)
    if pause is not None:
        write_time(answer.paused_at, pause.paused_at)
        answer.paused_by = pause.paused_by
    return answer


def _fields(
    message: Descriptor, comments: Mapping[str, str], above: tuple[Descriptor, ...]
) -> Iterator[kind_pb2.PayloadField]:
    if message.full_name.startswith(_WELL_KNOWN) or message in above:
        return
    for field in message.fields:
        yield _field(field, comments, (*above, message))


def _field(field: FieldDescriptor, comments: Mapping[str, str], above: tuple[Descriptor, ...]) -> kind_pb2.PayloadField:
    options: Any = field.GetOptions()
    key, value = _map_entry(field)
    rules = field_rules(field)
    answer = kind_pb2.PayloadField(
        name=field.name,
        json_name=field.json_name,
        type=TYPES[value.type],
        repeated=field.is_repeated and key is None,
        map_key_type=TYPES[key.type] if key else "",
        required=field.is_required or bool(rules and rules.get("required")),
        oneof=_oneof(field),
        redacted=options.debug_redact,
        description=comments.get(field.full_name, ""),
    )
    if rules is not None:
        answer.rules.update(rules)
    if value.message_type is not None:
        answer.type_name = value.message_type.full_name
        answer.fields.extend(_fields(value.message_type, comments, above))
    if value.enum_type is not None:
        answer.type_name = value.enum_type.full_name
        answer.enum_values.extend(each.name for each in value.enum_type.values)
    return answer


def _map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor | None, FieldDescriptor]:
    """The keys of a map and its values; None and the field itself where it is none."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None, field
    return entry.fields_by_name[_KEY], entry.fields_by_name[_VALUE]


def _oneof(field: FieldDescriptor) -> str:
    oneof = field.containing_oneof
    # An optional field stands in a oneof of its own, which nobody has written.
    return "" if oneof is None or oneof.name == f"_{field.name}" else oneof.name
