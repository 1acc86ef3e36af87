"""The last step before a servicer: bytes become a message, and the message keeps the rules of its .proto file."""

from collections.abc import Collection
from typing import Any

import grpc
import protovalidate
from google.protobuf.message import DecodeError, Message

from headrace.chassis.rpc_errors import RpcError, bad_request, error_info
from headrace.chassis.rpc_interceptors import (
    INFRASTRUCTURE,
    Context,
    Continuation,
    Handler,
    unary_handler,
)
from headrace.veil import hide, veiled_text


class ValidationInterceptor(grpc.aio.ServerInterceptor):
    """Decodes each request and checks it by protovalidate; INVALID_ARGUMENT names every violated field."""

    def __init__(self, self_validating: Collection[str] = ()) -> None:
        """`self_validating` are methods ("pkg.Service/Method") whose servicer checks the rules itself."""
        self._self_validating = frozenset(f"/{method}" for method in self_validating)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Takes the decoding away from gRPC, which would answer UNKNOWN for bytes that are no message."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.unary_unary is None or method.startswith(INFRASTRUCTURE):
            return handler
        decode: Any = handler.request_deserializer
        proceed: Any = handler.unary_unary
        validated = method not in self._self_validating

        async def behaviour(received: bytes, context: Context) -> Any:
            message = _decode(decode, received)
            hide(message)
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
            f"The request's bytes are no such message: {error}",
            error_info("REQUEST_UNREADABLE"),
        ) from None
    return message


def validate_request(message: Message) -> None:
    """Checks a message by the rules in its .proto file.

    Raises:
        RpcError: INVALID_ARGUMENT with every violated field.
    """
    violations = request_violations(message)
    if violations:
        named = ", ".join(field for field, _ in violations)
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"The request breaks the rules of its fields: {named}",
            error_info("REQUEST_INVALID"),
            bad_request(violations),
        )


def request_violations(message: Message) -> list[tuple[str, str]]:
    """Answers every violated field's path ("items[3].name") with what is wrong with it."""
    try:
        found = protovalidate.collect_violations(message)
    except protovalidate.EvaluationError as error:  # a rule's own slip, such as an index beyond a list's end
        return [("", f"breaks a rule, which can't be evaluated with it: {veiled_text(str(error))}")]
    # A path may end in a map's key, and a rule may quote the value that it is about.
    return [(veiled_text(field_path(each.proto.field)), veiled_text(each.proto.message)) for each in found]


def field_path(path: protovalidate.FieldPathPb | None) -> str:
    """Writes a path of protovalidate's as BadRequest has it: "requests[3].payload"."""
    text = ""
    for element in path.elements if path else ():
        text += f".{element.field_name}" if text else element.field_name
        if element.subscript is not None:
            text += f"[{_subscript(element.subscript.value)}]"
    return text


def _subscript(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
