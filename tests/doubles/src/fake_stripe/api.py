"""The API's handling of one call: ledger, authentication, faults, idempotency key, the call itself, the response."""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fake_stripe import form, objects
from fake_stripe.errors import StripeError, invalid
from fake_stripe.faults import Fault, Faults
from fake_stripe.idempotency import Answer, IdempotencyKeys
from fake_stripe.resources import CALLS, Call
from fake_stripe.shop import Shop


@dataclass
class Entry:
    """One call, as the ledger has it.

    Attributes:
        method: The HTTP method.
        path: The path.
        params: The parameters, decoded.
        idempotency_key: The key that came with it, if any.
        status: The response's status; 0 if the connection was cut or the call is still running.
        replayed: Whether it repeats an earlier response.
    """

    method: str
    path: str
    params: dict[str, Any]
    idempotency_key: str | None
    status: int = 0
    replayed: bool = False

    def told(self) -> dict[str, Any]:
        """It in JSON."""
        return asdict(self)


class Cut(Response):
    """Breaks the connection instead of responding."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Promises a body and never sends it, upon which the server closes the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


class Api:
    """Everything under `/v1`.

    Attributes:
        ledger: Every call so far, in the order in which they came.
        called: Set by each call as it comes in; a test clears it and waits for the next.
    """

    def __init__(self, shop: Shop, faults: Faults, keys: IdempotencyKeys) -> None:
        self.ledger: list[Entry] = []
        self.called = asyncio.Event()
        self._shop = shop
        self._faults = faults
        self._keys = keys

    def routes(self) -> list[Route]:
        """The routes, one for each call that is known."""
        return [Route(path, self._endpoint(call), methods=[method]) for (method, path), call in CALLS.items()]

    def _endpoint(self, call: Call) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            encoded = (await request.body()).decode() if request.method == "POST" else request.url.query
            entry = Entry(request.method, request.url.path, {}, request.headers.get("idempotency-key"))
            self.ledger.append(entry)
            self.called.set()
            fault = self._faults.strike(request.method, request.url.path)
            try:
                entry.params = _decoded(encoded)
                _authenticate(request)
                answer = await self._answer(call, request, entry, encoded, fault)
            except StripeError as error:
                answer = Answer(error.status, error.body())
            if fault is not None and fault.cuts:
                return Cut()
            entry.status, entry.replayed = answer.status, answer.replayed
            headers = {"request-id": objects.new_id("req"), "stripe-version": objects.API_VERSION}
            if entry.idempotency_key is not None:
                headers["idempotency-key"] = entry.idempotency_key
            if answer.replayed:
                headers["idempotent-replayed"] = "true"
            return _json(answer.body, answer.status, headers)

        return endpoint

    async def _answer(self, call: Call, request: Request, entry: Entry, encoded: str, fault: Fault | None) -> Answer:
        error = fault.error() if fault is not None else None
        if error is not None and fault is not None and not fault.after:
            raise error
        if fault is not None and fault.kind == "cut":
            return Answer(0, {})
        key = entry.idempotency_key if request.method == "POST" else None
        if key is not None and (earlier := self._keys.begin(key, entry.method, entry.path, encoded)):
            return earlier
        try:
            if fault is not None and fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            self._shop.idempotency_key = key
            params = dict(entry.params)
            paths = params.pop("expand", [])
            item = call(self._shop, params, request.path_params)
            body = self._shop.store.expand(item, paths)
        except BaseException:
            if key is not None:
                self._keys.forget(key)
            raise
        # Kept as it is now: a later change of the object must not show in a repeated response.
        answer = Answer(200, copy.deepcopy(body)) if error is None else Answer(error.status, error.body())
        if key is not None:
            self._keys.keep(key, answer)
        return answer


def _decoded(encoded: str) -> dict[str, Any]:
    try:
        return form.decode(encoded)
    except ValueError as error:
        raise invalid(str(error), "body") from error


def _authenticate(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key.startswith(("sk_test_", "rk_test_")):
        message = "Invalid API Key provided. This stand-in takes any key that begins with sk_test_ or rk_test_."
        raise StripeError(401, "invalid_request_error", message)


async def unknown_route(request: Request, _: Exception) -> Response:
    """Returns a call that is not known as Stripe does."""
    message = f"Unrecognized request URL ({request.method}: {request.url.path})."
    return _json(StripeError(404, "invalid_request_error", message).body(), 404)


def _json(body: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    # Escaped to ASCII, as Stripe does: a lone surrogate in a name is accepted too.
    return Response(json.dumps(body), status, headers, media_type="application/json")
