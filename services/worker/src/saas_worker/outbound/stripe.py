"""Reads objects and events from Stripe with Stripe's library, and returns JSON as Stripe wrote it where it can.

A reader belongs to one event loop: create it there.
"""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import stripe

from saas_worker.outbound.span import client_span

_TIMEOUT = 7.0
"""Seconds for one request: three of them fit into a job's default 30 s."""
_NETWORK_RETRIES = 2
_PAGE = 100


class StripeUnavailableError(Exception):
    """Stripe is unreachable or overloaded, or rejects the key: a retry may succeed."""


class StripeRejectedError(Exception):
    """Stripe rejects the request as invalid: a retry would fail as well."""


@dataclass(frozen=True)
class EventPage:
    """A page of events.

    Attributes:
        events: Each event in JSON, newest first.
        oldest: When the page's last event was created, in seconds since the epoch.
    """

    events: list[bytes]
    oldest: int


class StripeReader:
    """Reads objects and events.

    Args:
        key: A secret or restricted key.
        base: The address of the API; None for Stripe's own.
    """

    def __init__(self, key: str, *, base: str | None = None) -> None:
        # Telemetry writes an id to the home directory, which may not exist in a container.
        stripe.enable_telemetry = False
        # At DEBUG the library logs every object that it fetches, email addresses included.
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

    def can_fetch(self, object_type: str) -> bool:
        """Reports whether objects of this type can be fetched."""
        return object_type in self._fetchers

    async def fetch(self, object_type: str, object_id: str) -> bytes | None:
        """Fetches the current state of an object.

        Returns:
            Its JSON as Stripe returned it; None if Stripe has no such object.

        Raises:
            StripeUnavailableError: A retry may succeed.
            StripeRejectedError: A retry would fail as well.
        """
        template, retrieve = self._fetchers[object_type]
        try:
            response = await self._call(template, partial(retrieve, object_id))
        except StripeRejectedError as error:
            if isinstance(error.__cause__, stripe.InvalidRequestError) and error.__cause__.code == "resource_missing":
                return None
            raise
        return _body(response).encode()

    async def events(self, *, since: int) -> AsyncIterator[EventPage]:
        """Lists events page by page, newest first. Stripe keeps them for 30 days.

        Args:
            since: The earliest creation time to list, in seconds since the epoch.

        Raises:
            StripeUnavailableError: A retry may succeed.
            StripeRejectedError: A retry would fail as well.
        """
        after: str | None = None
        while True:
            response = await self._call("/v1/events", partial(self._list_events, since, after))
            # From the body: the library's objects lose how a number was written.
            page = json.loads(_body(response))
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
        """Closes the connections to Stripe."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _call(self, template: str, call: Callable[[], Awaitable[stripe.StripeObject]]) -> stripe.StripeObject:
        # The template instead of url.full, which contains the id of a customer's object.
        attributes = {"http.request.method": "GET", "url.template": template, **self._server}
        with client_span(f"GET {template}", attributes) as span:
            try:
                response = await call()
            except stripe.StripeError as error:
                if error.http_status is not None:
                    span.set_attribute("http.response.status_code", error.http_status)
                reason = (
                    f"GET {template}: {type(error).__name__} {error.http_status or ''} {error.user_message or error}"
                )
                raise (StripeRejectedError if _is_final(error) else StripeUnavailableError)(reason) from error
            span.set_attribute("http.response.status_code", 200)
            return response


def _is_final(error: stripe.StripeError) -> bool:
    # An operator can fix a rejected key, but not an invalid request.
    return isinstance(error, stripe.InvalidRequestError)


def _body(fetched: stripe.StripeObject) -> str:
    last = fetched.last_response
    assert last is not None, "the library keeps the response of each object that it fetches"
    return str(last.body)
