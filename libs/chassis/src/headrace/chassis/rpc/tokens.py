"""Bearer tokens for callers that are programs: kept as SHA-256, compared in constant time.

A caller may have several hashes at once, so that a token is replaced without an outage: add the new hash, hand out
the new token, remove the old hash.
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

    A plain hash is enough for a token of 128 random bits or more; it is no way to keep a password.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def is_token_hash(text: str) -> bool:
    """Says whether a text is what `token_hash` answers."""
    return _SHA256.fullmatch(text) is not None


def current_caller() -> str:
    """Returns the name of the caller whose call is being answered.

    Raises:
        LookupError: There is no `TokenInterceptor` before this call.
    """
    return _caller.get()


class Tokens:
    """The tokens that are known, and whose they are."""

    def __init__(self, hashes: Mapping[str, Iterable[str]]) -> None:
        """`hashes` are each caller's `token_hash`es, by the caller's name."""
        self._known = [(name, digest.encode()) for name, digests in hashes.items() for digest in digests]

    def owner(self, call: Call) -> str:
        """Returns the name of the caller whose token a call carries.

        Raises:
            RpcError: UNAUTHENTICATED: it carries none, or one that is not known.
        """
        scheme, _, token = call.metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RpcError(
                grpc.StatusCode.UNAUTHENTICATED,
                'The call carries no token; send the header "authorization: Bearer <token>".',
                error_info("TOKEN_MISSING"),
            )
        sent = token_hash(token.strip()).encode()
        found = None
        for name, digest in self._known:  # never ends early: the time says nothing about which one matched
            if hmac.compare_digest(sent, digest):
                found = name
        if found is None:
            raise RpcError(grpc.StatusCode.UNAUTHENTICATED, "The token is not known.", error_info("TOKEN_UNKNOWN"))
        return found


def refuse_unread(call: Call, refusal: RpcError) -> Handler:
    """Returns a handler that refuses a call before its request is read.

    Such calls leave a line in the log and no span: strangers shall not fill our traces.
    """
    log.warning("call refused", method=call.service_and_method, code=refusal.code.name, reason=refusal.message)
    return refusing_handler(rpc_status.to_status(refusal.status()))


class TokenInterceptor(grpc.aio.ServerInterceptor, Layer):
    """Lets a call pass when its token is that of a known caller, and refuses it before the request is read."""

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
        """Makes the caller's name known to what follows."""
        token = _caller.set(self._tokens.owner(call))
        try:
            return await proceed(request, context)
        finally:
            _caller.reset(token)
