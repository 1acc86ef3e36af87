"""The base of the servers' interceptors: a layer around one unary call.

In gRPC an interceptor replaces the handler of a call. `LayersInterceptor` does that, so that a layer is one method:
code before, `await proceed(...)`, code after. Health checks and reflection don't go through layers.
"""

import abc
import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

INFRASTRUCTURE = ("/grpc.health.", "/grpc.reflection.")

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
else:  # these classes are generic only in the stubs
    Context = grpc.aio.ServicerContext
    Handler = grpc.RpcMethodHandler
Proceed = Callable[[Any, Context], Awaitable[Any]]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]


@dataclasses.dataclass(frozen=True)
class Call:
    """A call as interceptors see it."""

    method: str
    """The full name: "/headrace.jobs.v1.JobsService/Enqueue"."""
    metadata: dict[str, str]
    """The first value of each of the client's textual headers, keys in lower case."""

    @property
    def service_and_method(self) -> str:
        """The name without the slash in front, as OpenTelemetry writes it."""
        return self.method.removeprefix("/")


class Layer(abc.ABC):
    """A layer around every unary call except health checks and reflection."""

    @abc.abstractmethod
    async def around(self, call: Call, request: Any, context: Context, proceed: Proceed) -> Any:
        """Runs the call, usually with `return await proceed(request, context)`.

        `request` is still the received bytes, because decoding and validation come last, right before the servicer. May
        raise `RpcError`.
        """

    def wrap(self, call: Call, handler: Handler) -> Handler:
        """Returns a handler that runs `around` around the given one."""
        proceed: Any = handler.unary_unary
        # A function, not a bound method: for each call, gRPC checks whether this is a coroutine function.
        behaviour = partial(type(self).around, self, call, proceed=proceed)
        return unary_handler(behaviour, handler.request_deserializer, handler.response_serializer)


class LayersInterceptor(grpc.aio.ServerInterceptor):
    """Puts layers around each call, the first outermost. It is one interceptor, since gRPC asks each for every call."""

    def __init__(self, *layers: Layer) -> None:
        self._inside_out = layers[::-1]

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Called by gRPC once for each call, before the request is read."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.unary_unary is None or method.startswith(INFRASTRUCTURE):
            return handler
        call = describe_call(handler_call_details)
        for layer in self._inside_out:
            handler = layer.wrap(call, handler)
        behaviour: Any = handler.unary_unary
        return reading_handler(behaviour, handler.response_serializer)


class _Handler(Handler):
    """A handler. gRPC's own functions take five times as long to create one, and every call has several."""

    response_streaming = False
    unary_stream = stream_stream = None

    def __init__(
        self, *, unary_unary: Any = None, stream_unary: Any = None, deserializer: Any = None, serializer: Any = None
    ) -> None:
        self.request_streaming = stream_unary is not None
        self.unary_unary = unary_unary
        self.stream_unary = stream_unary
        self.request_deserializer = deserializer
        self.response_serializer = serializer


def unary_handler(behaviour: Proceed, deserializer: Any, serializer: Any) -> Handler:
    """Creates a handler. gRPC's types cover only blocking ones, so this is the one place that works around them."""
    return _Handler(unary_unary=behaviour, deserializer=deserializer, serializer=serializer)


def reading_handler(behaviour: Proceed, serializer: Any) -> Handler:
    """Creates the handler of a unary call, which reads its request as bytes itself.

    For gRPC it is a streaming handler, which the client can't see. With a unary one, a call whose client closes its
    side without a message would never finish.
    """

    async def reading(_requests: Any, context: Context) -> Any:
        return await behaviour(await read_request(context), context)

    return _Handler(stream_unary=reading, serializer=serializer)


async def read_request(context: Context) -> bytes:
    """Reads the one message of a call with a streaming handler; ends a call that has none."""
    request: Any = await context.read()
    if request is grpc.aio.EOF:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The call has no message.")
    return bytes(request)


def refusing_handler(status: grpc.Status) -> Handler:
    """Creates a handler that ends the call with a status without reading the request.

    It is a streaming one, which the client can't see: gRPC reads a unary request whole before it calls the handler, and
    a client without a token must not be able to fill the server's memory.
    """

    async def behaviour(_requests: Any, context: Context) -> None:
        await context.abort_with_status(status)

    return _Handler(stream_unary=behaviour)


def describe_call(details: grpc.HandlerCallDetails) -> Call:
    """Reads what interceptors need from gRPC's description of a call; once, even if several of them ask."""
    global _described  # noqa: PLW0603
    known, call = _described
    if known is details:
        return call
    metadata: dict[str, str] = {}
    pairs: Any = details.invocation_metadata or ()
    for key, value in pairs:
        if isinstance(value, str):
            metadata.setdefault(key, value)
    call = Call(method=details.method, metadata=metadata)
    _described = (details, call)
    return call


_described: tuple[object, Call] = (None, Call("", {}))
"""The last call that was described."""
