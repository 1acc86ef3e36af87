"""Bearer tokens for programs: stored as SHA-256, compared in constant time.

A caller may have several hashes at once, so that a token can be replaced without an outage: add the new hash,
distribute the new token, remove the old hash.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status

from headrace.chassis.rpc.errors import RpcError, error_info
from headrace.chassis.rpc.interceptors import (
    INFRASTRUCTURE,
    Call,
    Context,
    Continuation,
    Handler,
    Layer,
    Proceed,
    describe_call,
    refusing_handler,
)

log = structlog.get_logger()

_caller: ContextVar[str] = ContextVar("caller")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def token_hash(token: str) -> str:
    """Returns the SHA-256 of a token in hex, the form that settings and callers files hold.

    A plain hash is enough for a token of 128 random bits or more, but not for a password.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def is_token_hash(text: str) -> bool:
    """Returns whether a text has the form of `token_hash`'s results."""
    return _SHA256.fullmatch(text) is not None


def current_caller() -> str:
    """Returns the name of the current call's caller.

    Raises:
        LookupError: There is no `TokenInterceptor` before this call.
    """
    return _caller.get()


class Tokens:
    """The known tokens and their callers."""

    def __init__(self, hashes: Mapping[str, Iterable[str]]) -> None:
        """`hashes` are each caller's `token_hash`es, by the caller's name."""
        self._known = [(name, digest.encode()) for name, digests in hashes.items() for digest in digests]

    def owner(self, call: Call) -> str:
        """Returns the name of the caller whose token a call carries.

        Raises:
            RpcError: UNAUTHENTICATED: the call has no token, or an unknown one.
        """
        scheme, _, token = call.metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RpcError(
                grpc.StatusCode.UNAUTHENTICATED,
                'The call has no token; send the header "authorization: Bearer <token>".',
                error_info("TOKEN_MISSING"),
            )
        sent = token_hash(token.strip()).encode()
        found = None
        for name, digest in self._known:  # never stops early, so that the time doesn't show which one matched
            if hmac.compare_digest(sent, digest):
                found = name
        if found is None:
            raise RpcError(grpc.StatusCode.UNAUTHENTICATED, "The token is unknown.", error_info("TOKEN_UNKNOWN"))
        return found


def refuse_unread(call: Call, refusal: RpcError) -> Handler:
    """Returns a handler that rejects a call before its request is read.

    Such calls are logged but have no span, so that unknown clients can't fill the traces.
    """
    log.warning("call refused", method=call.service_and_method, code=refusal.code.name, reason=refusal.message)
    return refusing_handler(rpc_status.to_status(refusal.status()))


class TokenInterceptor(grpc.aio.ServerInterceptor, Layer):
    """Accepts calls with a known caller's token, and rejects others before their request is read."""

    def __init__(self, hashes: Mapping[str, Iterable[str]]) -> None:
        """`hashes` are each caller's `token_hash`es, by the caller's name."""
        self._tokens = Tokens(hashes)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Called by gRPC once for each call, before the request is read."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(INFRASTRUCTURE):
            return handler
        call = describe_call(handler_call_details)
        try:
            self._tokens.owner(call)
        except RpcError as refusal:
            return refuse_unread(call, refusal)
        return self.wrap(call, handler)

    async def around(self, call: Call, request: Any, context: Context, proceed: Proceed) -> Any:
        """Makes the caller's name available to the rest of the call."""
        token = _caller.set(self._tokens.owner(call))
        try:
            return await proceed(request, context)
        finally:
            _caller.reset(token)
