"""Where errors become statuses: outside this module a call ends by raising, inside gRPC by a status.

`ErrorMappingLayer` makes every exception an `RpcError` (inside the span, so that the log line carries the trace);
`StatusLayer`, the outermost, makes that the call's status.
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
"""What an exception of a class (or of one derived from it) means to a client. The first that matches is taken."""


class StatusLayer(Layer):
    """Ends a call that raised `RpcError` with its code, sentence and details."""

    async def around(self, call: Call, request: Any, context: Context, proceed: Proceed) -> Any:  # noqa: ARG002
        """Returns, or aborts."""
        try:
            return await proceed(request, context)
        except RpcError as error:
            await context.abort_with_status(rpc_status.to_status(error.status()))


class ErrorMappingLayer(Layer):
    """Makes every exception an `RpcError`; one that nobody foresaw is logged and answered as INTERNAL."""

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
                translated = RpcError(grpc.StatusCode.INTERNAL, "The service failed to answer; the failure was logged.")
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
