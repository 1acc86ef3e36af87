"""Reads from Stripe through its own library; what it answers is handed on as it came, byte for byte where it can be.

A client lives on one event loop: make it there.
"""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import stripe

from jobs_service.client_span import client_span

_TIMEOUT = 7.0
"""Seconds for one request: three of them fit into a job's usual 30 s."""
_NETWORK_RETRIES = 2
_PAGE = 100


class StripeUnavailableError(Exception):
    """Stripe can't be reached, is overloaded, or doesn't let us in: later may be better."""


class StripeRejectedError(Exception):
    """Stripe says that the request is wrong; repeating it changes nothing."""


@dataclass(frozen=True)
class EventPage:
    """A page of events.

    Attributes:
        events: Each event in JSON, newest first.
        oldest: When the page's last event was made, in seconds since the epoch.
    """

    events: list[bytes]
    oldest: int


class StripeReader:
    """Reads objects and events.

    Args:
        key: A secret or restricted key.
        base: Where the API is; None for Stripe itself.
    """

    def __init__(self, key: str, *, base: str | None = None) -> None:
        # Telemetry would write an id into the home directory, which a container may not have.
        stripe.enable_telemetry = False
        # At DEBUG the package would log every object as it comes, addresses of people included.
        logging.getLogger("stripe").setLevel(logging.INFO)
        self._http = stripe.HTTPXClient(timeout=_TIMEOUT)
        base = base or stripe.DEFAULT_API_BASE
        url = urlsplit(base)
        self._server: dict[str, str | int] = {
            "server.address": url.hostname or base,
            "server.port": url.port or (80 if url.scheme == "http" else 443),
        }
        client = stripe.StripeClient(
            key,
            base_addresses={"api": base},
            http_client=self._http,
            max_network_retries=_NETWORK_RETRIES,
        )
        self._client = client.v1
        self._fetchers: dict[str, tuple[str, Callable[[str], Awaitable[stripe.StripeObject]]]] = {
            "subscription": ("/v1/subscriptions/{id}", self._client.subscriptions.retrieve_async),
            "checkout.session": ("/v1/checkout/sessions/{id}", self._client.checkout.sessions.retrieve_async),
            "invoice": ("/v1/invoices/{id}", self._client.invoices.retrieve_async),
        }

    def knows(self, object_type: str) -> bool:
        """Says whether objects of this type can be fetched."""
        return object_type in self._fetchers

    async def fetch(self, object_type: str, object_id: str) -> bytes | None:
        """Fetches an object as it is now.

        Returns:
            Its JSON as Stripe answered it, or None where Stripe has no such object (any more).

        Raises:
            StripeUnavailableError: Try again later.
            StripeRejectedError: Don't.
        """
        template, retrieve = self._fetchers[object_type]
        try:
            answer = await self._call(template, partial(retrieve, object_id))
        except StripeRejectedError as error:
            if isinstance(error.__cause__, stripe.InvalidRequestError) and error.__cause__.code == "resource_missing":
                return None
            raise
        return _body(answer).encode()

    async def events(self, *, since: int) -> AsyncIterator[EventPage]:
        """Lists events page by page, newest first, as Stripe keeps them (30 days).

        Args:
            since: The oldest second that is of interest, since the epoch.

        Raises:
            StripeUnavailableError: Try again later.
            StripeRejectedError: Don't.
        """
        after: str | None = None
        while True:
            answer = await self._call("/v1/events", partial(self._list_events, since, after))
            # From the body, not from the objects, which lose how a number was written.
            page = json.loads(_body(answer))
            events = page["data"]
            if not events:
                return
            yield EventPage([json.dumps(event).encode() for event in events], events[-1]["created"])
            if not page["has_more"]:
                return
            after = events[-1]["id"]

    async def _list_events(self, since: int, after: str | None) -> stripe.StripeObject:
        params: Any = {"limit": _PAGE, "created": {"gte": since}}
        return await self._client.events.list_async(params if after is None else params | {"starting_after": after})

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _call(self, template: str, call: Callable[[], Awaitable[stripe.StripeObject]]) -> stripe.StripeObject:
        # The template stands for url.full, which holds the id of somebody's object.
        attributes = {"http.request.method": "GET", "url.template": template, **self._server}
        with client_span(f"GET {template}", attributes) as span:
            try:
                answer = await call()
            except stripe.StripeError as error:
                if error.http_status is not None:
                    span.set_attribute("http.response.status_code", error.http_status)
                told = f"GET {template}: {type(error).__name__} {error.http_status or ''} {error.user_message or error}"
                raise (StripeRejectedError if _is_final(error) else StripeUnavailableError)(told) from error
            span.set_attribute("http.response.status_code", 200)
            return answer


def _is_final(error: stripe.StripeError) -> bool:
    # A key that is refused can be put right by an operator; a request that is wrong can't.
    return isinstance(error, stripe.InvalidRequestError)


def _body(answer: stripe.StripeObject) -> str:
    response = answer.last_response
    assert response is not None, "the library keeps the response of every object that it fetched"
    return str(response.body)
