"""The switches under `/_control`: what a person or a test does to the stand-in from outside.

| route | body | does |
| --- | --- | --- |
| POST /pay | {"session"} | completes a checkout |
| POST /renew | {"subscription", "paid": true} | begins the next period; false: the payment fails |
| POST /update | {"subscription", "changes": {…}} | sets fields of a subscription |
| POST /cancel | {"subscription"} | ends a subscription |
| GET /pending | | the events that were not delivered yet |
| POST /deliver | {"duplicate", "shuffle", "seed", "skew", "types"} | sends them; without a 2xx one stays pending |
| POST /lose | {} | forgets them: the webhooks are lost, the events are still listed |
| POST /faults | {"rules": [Fault]} or one Fault | how the next calls fail; no rule: all is well |
| GET /ledger | | every call of the API so far |
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fake_stripe.api import Api
from fake_stripe.errors import StripeError
from fake_stripe.faults import Fault, Faults
from fake_stripe.sender import Sender
from fake_stripe.shop import Shop

Told = dict[str, Any]


class Control:
    """The control routes."""

    def __init__(self, shop: Shop, api: Api, faults: Faults, sender: Sender) -> None:
        self._shop = shop
        self._api = api
        self._faults = faults
        self._sender = sender

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            _route("POST", "pay", self._pay),
            _route("POST", "renew", self._renew),
            _route("POST", "update", self._update),
            _route("POST", "cancel", self._cancel),
            _route("GET", "pending", self._pending),
            _route("POST", "deliver", self._deliver),
            _route("POST", "lose", self._lose),
            _route("POST", "faults", self._set_faults),
            _route("GET", "ledger", self._ledger),
        ]

    async def _pay(self, told: Told) -> Any:
        return self._shop.pay(told["session"])

    async def _renew(self, told: Told) -> Any:
        return self._shop.renew(told["subscription"], paid=told.get("paid", True))

    async def _update(self, told: Told) -> Any:
        return self._shop.update_subscription(told["subscription"], told["changes"])

    async def _cancel(self, told: Told) -> Any:
        return self._shop.cancel(told["subscription"])

    async def _pending(self, _: Told) -> Any:
        return {"events": self._shop.undelivered}

    async def _deliver(self, told: Told) -> Any:
        types = told.pop("types", None)
        events = [event for event in self._shop.undelivered if types is None or event["type"] in types]
        deliveries = await self._sender.send(events, **told)
        taken = {delivery.event for delivery in deliveries if 200 <= delivery.status < 300}
        self._shop.undelivered = [event for event in self._shop.undelivered if event["id"] not in taken]
        return {"deliveries": [asdict(delivery) for delivery in deliveries]}

    async def _lose(self, _: Told) -> Any:
        lost, self._shop.undelivered = self._shop.undelivered, []
        return {"lost": len(lost)}

    async def _set_faults(self, told: Told) -> Any:
        rules = told.get("rules", [told] if told else [])
        self._faults.set(*(Fault.of(rule) for rule in rules))
        return {"rules": len(rules)}

    async def _ledger(self, _: Told) -> Any:
        return {"calls": [entry.told() for entry in self._api.ledger]}


def _route(method: str, name: str, act: Callable[[Told], Awaitable[Any]]) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await act(json.loads(await request.body() or b"{}")))
        except StripeError as error:
            return JSONResponse(error.body(), error.status)
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": f"{name}: {type(error).__name__}: {error}"}, 400)

    return Route(f"/_control/{name}", endpoint, methods=[method])
