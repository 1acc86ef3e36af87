"""Sends webhooks: signed as Stripe signs them, and, when told so, twice, in disorder or with a clock that is off."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import stripe

from fake_stripe.store import Object


@dataclass(frozen=True)
class Delivery:
    """What became of one sending.

    Attributes:
        event: The event's id.
        type: The event's type.
        status: The HTTP status; 0 if there was no response.
    """

    event: str
    type: str
    status: int


class Sender:
    """Sends events to one endpoint.

    Args:
        url: The endpoint.
        secret: The endpoint's signing secret ("whsec_…").
        clock: Returns the time in whole seconds since the epoch.
    """

    def __init__(self, url: str, secret: str, clock: Callable[[], int]) -> None:
        self.url = url
        self.secret = secret
        self._clock = clock

    async def send(
        self, events: list[Object], *, duplicate: bool = False, shuffle: bool = False, seed: int = 0, skew: int = 0
    ) -> list[Delivery]:
        """Sends events, one after the other.

        Args:
            events: What to send.
            duplicate: Send each twice.
            shuffle: Send in an order drawn from the seed.
            seed: The seed.
            skew: How many seconds the sender's clock is ahead (negative: behind).

        Returns:
            What became of each sending, in the order in which they were sent.
        """
        queue = events * 2 if duplicate else list(events)
        if shuffle:
            random.Random(seed).shuffle(queue)
        async with httpx.AsyncClient(timeout=10) as client:
            return [await self._send(client, event, self._clock() + skew) for event in queue]

    async def _send(self, client: httpx.AsyncClient, event: Object, at: int) -> Delivery:
        body = json.dumps(event, indent=2)
        headers = {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "stripe-signature": sign(body, self.secret, at),
        }
        try:
            answer = await client.post(self.url, content=body.encode(), headers=headers)
        except httpx.TransportError:
            return Delivery(event["id"], event["type"], 0)
        return Delivery(event["id"], event["type"], answer.status_code)


def sign(body: str, secret: str, at: int) -> str:
    """The `Stripe-Signature` header for a body."""
    header: Any = stripe.WebhookSignature.generate_signature_header(body, secret, at)
    return str(header)
