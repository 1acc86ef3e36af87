"""Turns errors into statuses: servicers raise exceptions, gRPC needs statuses.

`ErrorMappingLayer` turns every exception into an `RpcError` (inside the span, so that the log line has the trace's id).
`StatusLayer`, the outermost, turns that into the call's status.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status

from headrace.chassis.rpc.errors import RpcError
from headrace.chassis.rpc.interceptors import Call, Context, Layer, Proceed

log = structlog.get_logger()

Translations = Mapping[type[Exception], Callable[[Exception], RpcError]]
"""The `RpcError` for exceptions of a class (or a subclass). The first match applies."""


class StatusLayer(Layer):
    """Ends a call that raised `RpcError` with its code, message and details."""

    async def around(self, call: Call, request: Any, context: Context, proceed: Proceed) -> Any:  # noqa: ARG002
        """Returns, or aborts."""
        try:
            return await proceed(request, context)
        except RpcError as error:
            await context.abort_with_status(rpc_status.to_status(error.status()))


class ErrorMappingLayer(Layer):
    """Turns every exception into an `RpcError`; an unexpected one is logged and becomes INTERNAL."""

    def __init__(self, translations: Translations) -> None:
        self._translations = translations

    async def around(self, call: Call, request: Any, context: Context, proceed: Proceed) -> Any:
        """Returns, or raises `RpcError`."""
        try:
            return await proceed(request, context)
        except RpcError:
            raise
        except Exception as error:
            translated = self._translate(error)
            if translated is None:
                log.exception("call failed", method=call.service_and_method)
                translated = RpcError(grpc.StatusCode.INTERNAL, "The service failed; the failure was logged.")
            else:
                log.warning(
                    "call refused", method=call.service_and_method, code=translated.code.name, error=repr(error)
                )
            raise translated from error

    def _translate(self, error: Exception) -> RpcError | None:
        for kind, translate in self._translations.items():
            if isinstance(error, kind):
                return translate(error)
        return None
