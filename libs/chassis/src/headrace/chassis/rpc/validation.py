"""The last step before a servicer: decodes the request and validates it by the rules of its .proto file."""

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any

import grpc
import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from headrace.chassis.rpc.errors import RpcError, bad_request, error_info
from headrace.chassis.rpc.interceptors import INFRASTRUCTURE, Context, Continuation, Handler, unary_handler
from headrace.redaction import redact, redacted_text

_TIMES = {
    "google.protobuf.Timestamp": "must be a time from the year 1 to 9999, its nanoseconds from 0 to 999999999",
    "google.protobuf.Duration": "must be at most 10000 years, its nanoseconds below a second and of the same sign",
}


class ValidationInterceptor(grpc.aio.ServerInterceptor):
    """Decodes each request and validates it with protovalidate; INVALID_ARGUMENT names every invalid field."""

    def __init__(self, self_validating: Collection[str] = ()) -> None:
        """`self_validating` are methods ("pkg.Service/Method") whose servicer validates the request itself."""
        self._self_validating = frozenset(f"/{method}" for method in self_validating)
        # Inside this layer are the servicers' methods, which are the same for each call.
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Decodes the request instead of gRPC, which would return UNKNOWN for invalid bytes."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.unary_unary is None or method.startswith(INFRASTRUCTURE):
            return handler
        if method not in self._handlers:
            self._handlers[method] = self._validating(method, handler)
        return self._handlers[method]

    def _validating(self, method: str, handler: Handler) -> Handler:
        decode: Any = handler.request_deserializer
        proceed: Any = handler.unary_unary
        validated = method not in self._self_validating

        async def behaviour(received: bytes, context: Context) -> Any:
            message = _decode(decode, received)
            redact(message)
            if validated:
                validate_request(message)
            return await proceed(message, context)

        return unary_handler(behaviour, None, handler.response_serializer)


def _decode(decode: Any, received: bytes) -> Message:
    try:
        message: Message = decode(received)
    except DecodeError as error:
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"The request's bytes can't be decoded: {error}",
            error_info("REQUEST_UNREADABLE"),
        ) from None
    return message


def validate_request(message: Message) -> None:
    """Validates a message by the rules in its .proto file.

    Raises:
        RpcError: INVALID_ARGUMENT with every invalid field.
    """
    violations = request_violations(message)
    if violations:
        named = ", ".join(field for field, _ in violations)
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"The request violates the rules of its fields: {named}",
            error_info("REQUEST_INVALID"),
            bad_request(violations),
        )


def request_violations(message: Message) -> list[tuple[str, str]]:
    """Returns the path of every invalid field ("items[3].name") with what is wrong with it."""
    try:
        found = protovalidate.collect_violations(message)
    except protovalidate.EvaluationError as error:  # an error in the rule itself, such as an index beyond a list's end
        return [("", f"a rule can't be evaluated with it: {redacted_text(str(error))}")]
    # A path may end in a map's key, and a rule may quote the value.
    told = [(redacted_text(field_path(each.proto.field)), redacted_text(each.proto.message)) for each in found]
    named = {field for field, _ in told}
    return [*told, *((field, why) for field, why in _impossible_times(message, "") if field not in named)]


def _impossible_times(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
    """Yields invalid timestamps and durations: in the year 300 000, or with 5 seconds and -3 nanoseconds.

    Protobuf accepts them, but nothing in the service can represent them.
    """
    for name, is_repeated in _timed_fields(message.DESCRIPTOR):
        if not is_repeated and not message.HasField(name):
            continue
        value = getattr(message, name)
        for place, inner in enumerate(value if is_repeated else [value]):
            path = f"{prefix}{name}[{place}]" if is_repeated else prefix + name
            wrong = _TIMES.get(inner.DESCRIPTOR.full_name)
            if wrong is None:
                yield from _impossible_times(inner, f"{path}.")
                continue
            try:
                inner.ToJsonString()
            except ValueError:
                yield path, wrong


@cache
def _timed_fields(message: Descriptor) -> tuple[tuple[str, bool], ...]:
    """Returns the fields of a message that are times or messages that may contain some, and whether each is repeated.

    Fields of maps are omitted.
    """
    return tuple(
        (field.name, field.is_repeated)
        for field in message.fields
        if any(each.full_name in _TIMES for each in _below(field))
    )


def _below(field: FieldDescriptor) -> Iterable[Descriptor]:
    """Returns the messages that a field's value may contain, including itself."""
    found: dict[str, Descriptor] = {}
    waiting = [field]
    while waiting:
        message = waiting.pop().message_type
        if message is None or message.GetOptions().map_entry or message.full_name in found:
            continue
        found[message.full_name] = message
        waiting += message.fields
    return found.values()


def field_path(path: protovalidate.FieldPathPb | None) -> str:
    """Formats a path of protovalidate's for BadRequest: "requests[3].payload"."""
    text = ""
    for element in path.elements if path else ():
        text += f".{element.field_name}" if text else element.field_name
        if element.subscript is not None:
            text += f"[{_subscript(element.subscript.value)}]"
    return text


def _subscript(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
