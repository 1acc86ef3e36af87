"""Who is calling, may they, and not too much: asked of every call but health checks and reflection.

Where a call carries a token, all of it is asked before the request is read. A caller that is known by its certificate
is asked afterwards, for gRPC tells the certificate's names to a handler only; its connection was let in by then.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import grpc
from grpc_status import rpc_status

from headrace.chassis.rpc.errors import RpcError
from headrace.chassis.rpc.interceptors import (
    INFRASTRUCTURE,
    Call,
    Context,
    Continuation,
    Handler,
    describe_call,
    refusing_handler,
    unary_handler,
)
from headrace.chassis.rpc.tokens import refuse_unread
from jobs_service.callers.caller import Caller, Callers
from jobs_service.callers.rate_limit import RateLimiter


class AdmissionInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call pass when its caller is known, may call the method, and is within its limits."""

    def __init__(self, callers: Callers, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._callers = callers
        self._meters: defaultdict[str, RateLimiter] = defaultdict(lambda: RateLimiter(clock))

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Called by gRPC once for each call, before the request is read."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(INFRASTRUCTURE):
            return handler
        call = describe_call(handler_call_details)
        if "authorization" not in call.metadata and self._callers.by_certificate:
            return self._guard(call, handler, None)
        try:
            caller = self._callers.of_token(call)
            self._read_job(caller, call)
        except RpcError as refusal:
            if refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED:  # its meter has said so
                return refusing_handler(rpc_status.to_status(refusal.status()))
            return refuse_unread(call, refusal)
        return self._guard(call, handler, caller)

    def _guard(self, call: Call, handler: Handler, known: Caller | None) -> Handler:
        proceed: Any = handler.unary_unary

        async def behaviour(request: Any, context: Context) -> Any:
            caller = known
            if caller is None:
                caller = self._callers.of_certificate(context.auth_context())
                self._read_job(caller, call)
            meter = self._meters[caller.name]
            meter.begin(caller)
            try:
                with self._callers.calling(caller):
                    return await proceed(request, context)
            finally:
                meter.end()

        return unary_handler(behaviour, handler.request_deserializer, handler.response_serializer)

    def _read_job(self, caller: Caller, call: Call) -> None:
        caller.require_method(call.method.rpartition("/")[2])
        self._meters[caller.name].read_job(caller)
