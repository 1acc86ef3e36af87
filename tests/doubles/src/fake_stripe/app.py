"""The stand-in put together, as an ASGI application."""

import time
from collections.abc import Callable

from starlette.applications import Starlette

from fake_stripe.api import Api, unknown_route
from fake_stripe.control import Control
from fake_stripe.faults import Faults
from fake_stripe.idempotency import IdempotencyKeys
from fake_stripe.sender import Sender
from fake_stripe.shop import Shop
from fake_stripe.store import Store

DEFAULT_SECRET = "whsec_stand_in"


def _now() -> int:
    return int(time.time())


class Double:
    """A separate Stripe account.

    Args:
        webhook_url: Where webhooks go.
        webhook_secret: What they are signed with.
        base: The address under which it is reached; payment pages are named under it.
        clock: Returns the time in whole seconds since the epoch.
    """

    def __init__(
        self,
        *,
        webhook_url: str = "http://127.0.0.1:9/",
        webhook_secret: str = DEFAULT_SECRET,
        base: str = "http://127.0.0.1",
        clock: Callable[[], int] = _now,
    ) -> None:
        self.store = Store()
        self.shop = Shop(self.store, clock, base)
        self.faults = Faults()
        self.keys = IdempotencyKeys(clock)
        self.sender = Sender(webhook_url, webhook_secret, clock)
        self.api = Api(self.shop, self.faults, self.keys)
        self.control = Control(self.shop, self.api, self.faults, self.sender)


def create_app(double: Double) -> Starlette:
    """The application: the API under `/v1`, the switches under `/_control`."""
    routes = [*double.api.routes(), *double.control.routes()]
    return Starlette(routes=routes, exception_handlers={404: unknown_route, 405: unknown_route})
