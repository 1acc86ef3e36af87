"""The endpoint of Stripe's webhooks: POST /stripe/webhook.

It returns 200 once an event is committed to the inbox, and never before. It makes no call to Stripe or the jobs
service, because Stripe resends a webhook for three days unless it gets a prompt response.

| status | for |
| --- | --- |
| 200 | an event that is now in the inbox, was there before, or is for another mode or account |
| 400 | a body that isn't an event, isn't signed by Stripe, or has an old signature; nothing is stored |
| 408, 413 | a body that arrives too slowly, or is too large |
| 503 | the database is unavailable; Stripe resends the webhook |
"""

import time
from collections.abc import Callable, Sequence

import structlog
from opentelemetry import metrics
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api_service.billing.events import Event, MalformedEventError, parse_event
from api_service.billing.inbox import EventFilter, Inbox
from api_service.billing.signature import SignatureRefusedError, verify
from api_service.database import Database, DatabaseUnavailableError
from headrace.chassis.http.bodies import BodyTooLargeError, read_body

BODY_LIMIT = 256 * 1024  # bytes; Stripe's events stay far below it

log = structlog.get_logger()
_meter = metrics.get_meter("api_service.billing")
_webhooks = _meter.create_counter("headrace.stripe.webhooks", unit="{webhook}", description="Webhooks by outcome")
_secrets = _meter.create_counter(
    "headrace.stripe.webhook_secrets", unit="{webhook}", description="Signed webhooks by the position of their secret"
)


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class StripeWebhook:
    """Adds webhooks' events to the inbox."""

    def __init__(
        self,
        database: Database,
        inbox: Inbox,
        *,
        secrets: Sequence[str],
        filter_: EventFilter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Initialises the endpoint.

        Args:
            database: The service's database.
            inbox: Where events go.
            secrets: The endpoint's signing secrets, in the order in which they are tried.
            filter_: Which events are for this deployment.
            clock: The time in seconds since the epoch.
        """
        self._database = database
        self._inbox = inbox
        self._secrets = tuple(secrets)
        self._filter = filter_
        self._clock = clock

    def routes(self) -> list[Route]:
        """The endpoint's route."""
        return [Route("/stripe/webhook", self._post, methods=["POST"])]

    async def _post(self, request: Request) -> Response:
        try:
            outcome = await self._take(request)
        except _RefusedError as refused:
            _webhooks.add(1, {"outcome": refused.reason})
            # Don't wait for the rest of a body that is too large or too slow.
            headers = {"connection": "close"} if refused.status != 400 else {}
            return PlainTextResponse(refused.reason, refused.status, headers)
        _webhooks.add(1, {"outcome": outcome})
        return PlainTextResponse(outcome)

    async def _take(self, request: Request) -> str:
        body = await _read(request)
        event = self._verified(body, request)
        if not self._filter.lets_in(event):
            return "ignored"
        try:
            async with self._database.transaction() as session:
                new = await self._inbox.put(session, event)
        except DatabaseUnavailableError as error:
            log.warning("stripe webhook not accepted: the database is unavailable", event_id=event.id, error=str(error))
            raise _RefusedError(503, "unavailable") from error
        if not new:
            return "duplicate"
        return "received" if event.fetches else "ignored"

    def _verified(self, body: bytes, request: Request) -> Event:
        try:
            # Two headers are joined by a comma; with two timestamps they are rejected.
            header = ",".join(request.headers.getlist("stripe-signature"))
            index = verify(body, header, secrets=self._secrets, now=self._clock())
            _secrets.add(1, {"index": index})
            return parse_event(body)
        except SignatureRefusedError as error:
            log.warning("stripe webhook refused", reason=str(error))
            raise _RefusedError(400, "bad_signature") from error
        except MalformedEventError as error:
            log.warning("signed stripe webhook refused", reason=str(error))
            raise _RefusedError(400, "malformed") from error


async def _read(request: Request) -> bytes:
    """Reads the body as sent: a compressed one fails its signature."""
    try:
        return await read_body(request, BODY_LIMIT)
    except BodyTooLargeError as error:
        raise _RefusedError(413, "too_large") from error
    except TimeoutError as error:
        raise _RefusedError(408, "too_slow") from error
    except ClientDisconnect as error:
        raise _RefusedError(400, "disconnected") from error
