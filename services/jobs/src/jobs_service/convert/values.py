"""Values that several messages share: times, durations, JSON."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.rpc.error_details_pb2 import BadRequest
from grpc import StatusCode

from headrace.chassis.rpc.errors import RpcError, bad_request, error_info

Violations = list[tuple[str, str]]
"""Pairs of a field's path and what is wrong with it."""


def refuse(violations: Violations) -> RpcError:
    """Returns INVALID_ARGUMENT with every invalid field."""
    named = ", ".join(field for field, _ in violations)
    return RpcError(
        StatusCode.INVALID_ARGUMENT,
        f"The request breaks the rules of its fields: {named}",
        error_info("REQUEST_INVALID"),
        bad_request(violations),
    )


def merged(violations: Violations, more: Violations) -> Violations:
    """Returns the violations with those of further fields: of a field that has some already, no more are added."""
    fields = {field for field, _ in violations}
    return [*violations, *(found for found in more if found[0] not in fields)]


def under(error: RpcError, field: str) -> RpcError:
    """Returns the same error with its invalid fields below the request's field `field`."""
    details = [_under(detail, field) if isinstance(detail, BadRequest) else detail for detail in error.details]
    return RpcError(error.code, error.message, *details)


def _under(detail: BadRequest, field: str) -> BadRequest:
    return bad_request((f"{field}.{each.field}", each.description) for each in detail.field_violations)


@contextmanager
def noting(violations: Violations, field: str) -> Iterator[None]:
    """Adds a violation for a time that Python can't represent, unless the field has one already."""
    try:
        yield
    except (ValueError, OverflowError):
        if field not in dict(violations):
            violations.append((field, "must be a valid time between the years 1 and 9999"))


def read_time(time: timestamp_pb2.Timestamp) -> datetime:
    """Reads a time, to the microsecond. Raises ValueError if Python can't represent it."""
    return time.ToDatetime(tzinfo=UTC)


def read_duration(duration: duration_pb2.Duration) -> timedelta:
    """Reads a duration, to the microsecond. Raises ValueError or OverflowError if Python can't represent it."""
    return duration.ToTimedelta()


def write_time(field: timestamp_pb2.Timestamp, time: datetime | None) -> None:
    """Writes a time to a field; None leaves it unset."""
    if time is not None:
        field.FromDatetime(time)


def write_duration(field: duration_pb2.Duration, duration: timedelta | None) -> None:
    """Writes a duration to a field; None leaves it unset."""
    if duration is not None:
        field.FromTimedelta(duration)


def read_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Reads a JSON object. Whole numbers become integers, as they do in JSON texts.

    Raises:
        ValueError: A value is unset, or a number is not finite.
    """
    return {name: read_value(value) for name, value in struct.fields.items()}


def read_value(value: struct_pb2.Value) -> Any:
    """Reads a JSON value; see `read_struct`."""
    match value.WhichOneof("kind"):
        case "null_value":
            return None
        case "number_value":
            number = value.number_value
            if not math.isfinite(number):
                raise ValueError(f"{number} is not a JSON number")
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return read_struct(value.struct_value)
        case "list_value":
            return [read_value(item) for item in value.list_value.values]
        case _:
            raise ValueError("a value is unset; for null, set null_value")


def write_value(field: struct_pb2.Value, value: Any) -> None:
    """Writes a JSON value to a field. Integers beyond 2^53 lose digits, as in any JSON reader that uses doubles."""
    match value:
        case None:
            field.null_value = struct_pb2.NULL_VALUE
        case bool():
            field.bool_value = value
        case int() | float():
            field.number_value = _double(value)
        case str():
            field.string_value = value
        case dict():
            write_struct(field.struct_value, value)
        case list():
            field.list_value.SetInParent()
            for item in value:
                write_value(field.list_value.values.add(), item)
        case _:
            raise TypeError(f"{type(value).__name__} is not a JSON type")


def write_struct(field: struct_pb2.Struct, values: dict[str, Any]) -> None:
    """Writes a JSON object to a field."""
    field.SetInParent()
    for name, value in values.items():
        write_value(field.fields[name], value)


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # numbers in Postgres have no limit
        return math.copysign(math.inf, number)
