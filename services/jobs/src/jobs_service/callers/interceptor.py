"""Checks each call's caller, permission and limits; health checks and reflection are exempt.

A call with a token is checked before its request is read. A caller with a certificate is checked afterwards, because
gRPC passes the certificate's names to handlers only.
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
    """Accepts a call if its caller is known, may call the method, and is within its limits."""

    def __init__(self, callers: Callers, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._callers = callers
        self._limiters: defaultdict[str, RateLimiter] = defaultdict(lambda: RateLimiter(clock))

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Checks a call. gRPC calls this once for each call, before the request is read."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(INFRASTRUCTURE):
            return handler
        call = describe_call(handler_call_details)
        if "authorization" not in call.metadata and self._callers.by_certificate:
            return self._guard(call, handler, None)
        try:
            caller = self._callers.of_token(call)
            self._admit(caller, call)
        except RpcError as refusal:
            if refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED:  # the rate limiter has logged it
                return refusing_handler(rpc_status.to_status(refusal.status()))
            return refuse_unread(call, refusal)
        return self._guard(call, handler, caller)

    def _guard(self, call: Call, handler: Handler, known: Caller | None) -> Handler:
        proceed: Any = handler.unary_unary

        async def behaviour(request: Any, context: Context) -> Any:
            caller = known
            if caller is None:
                caller = self._callers.of_certificate(context.auth_context())
                self._admit(caller, call)
            limiter = self._limiters[caller.name]
            limiter.begin(caller)
            try:
                with self._callers.calling(caller):
                    return await proceed(request, context)
            finally:
                limiter.end()

        return unary_handler(behaviour, handler.request_deserializer, handler.response_serializer)

    def _admit(self, caller: Caller, call: Call) -> None:
        caller.require_method(call.method.rpartition("/")[2])
        self._limiters[caller.name].count(caller)
