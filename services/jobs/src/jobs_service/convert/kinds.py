"""Kinds, with the fields of their payloads, as a client needs them to enqueue a job."""

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
# Messages that have a special form in JSON and are shown as one value.
_WELL_KNOWN = "google.protobuf."
_KEY, _VALUE = "key", "value"


def write_kind(
    kind: Kind, comments: Mapping[str, str], *, worker_version: int, pause: Pause | None
) -> kind_pb2.JobKind:
    """Writes a kind with its effective options.

    Args:
        kind: The kind.
        comments: The comments of messages and fields, by full name.
        worker_version: The highest version that a live worker runs; 0 if none knows the kind.
        pause: Its pause, if it is paused.
    """
    payload: Descriptor = kind.message_class.DESCRIPTOR
    written = kind_pb2.JobKind(
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
    write_duration(written.timeout, kind.timeout)
    if pause is not None:
        write_time(written.paused_at, pause.paused_at)
        written.paused_by = pause.paused_by
    return written


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
    written = kind_pb2.PayloadField(
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
        written.rules.update(rules)
    if value.message_type is not None:
        written.type_name = value.message_type.full_name
        written.fields.extend(_fields(value.message_type, comments, above))
    if value.enum_type is not None:
        written.type_name = value.enum_type.full_name
        written.enum_values.extend(each.name for each in value.enum_type.values)
    return written


def _map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor | None, FieldDescriptor]:
    """Returns a map's key and value fields; None and the field itself if it isn't a map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None, field
    return entry.fields_by_name[_KEY], entry.fields_by_name[_VALUE]


def _oneof(field: FieldDescriptor) -> str:
    oneof = field.containing_oneof
    # protoc generates a oneof for each optional field.
    return "" if oneof is None or oneof.name == f"_{field.name}" else oneof.name
