"""The door for Stripe's webhooks: POST /stripe/webhook.

An event is answered 200 once it is committed to the inbox, and never before. Nothing else is done here, no call
of Stripe or of the jobs service: Stripe repeats for three days what is not answered soon.

| answer | for |
| --- | --- |
| 200 | an event that is in the inbox now, or was before, or is meant for another mode or account |
| 400 | a body that Stripe did not sign, or not lately, or that is no event; nothing is stored |
| 408, 413 | a body that comes too slowly, or is too large |
| 503 | the database is away; Stripe comes again |
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
    "headrace.stripe.webhook_secrets", unit="{webhook}", description="Signed webhooks by the place of their secret"
)


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class StripeWebhook:
    """Takes webhooks into the inbox."""

    def __init__(
        self,
        database: Database,
        inbox: Inbox,
        *,
        secrets: Sequence[str],
        filter_: EventFilter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Makes the door.

        Args:
            database: The service's database.
            inbox: Where events go.
            secrets: The endpoint's signing secrets, in the order in which they are tried.
            filter_: Which events are meant for us.
            clock: The time in seconds since the epoch.
        """
        self._database = database
        self._inbox = inbox
        self._secrets = tuple(secrets)
        self._filter = filter_
        self._clock = clock

    def routes(self) -> list[Route]:
        """The door's route."""
        return [Route("/stripe/webhook", self._post, methods=["POST"])]

    async def _post(self, request: Request) -> Response:
        try:
            outcome = await self._take(request)
        except _RefusedError as refused:
            _webhooks.add(1, {"outcome": refused.reason})
            # The rest of a body that is too large or too slow is not waited for.
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
            log.warning("stripe webhook not taken: the database is away", event_id=event.id, error=str(error))
            raise _RefusedError(503, "unavailable") from error
        if not new:
            return "duplicate"
        return "received" if event.fetches else "ignored"

    def _verified(self, body: bytes, request: Request) -> Event:
        try:
            # Two headers are one, joined by a comma; with two timestamps it is refused.
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
    """Reads the body as it is on the wire: a compressed one fails its signature."""
    try:
        return await read_body(request, BODY_LIMIT)
    except BodyTooLargeError as error:
        raise _RefusedError(413, "too_large") from error
    except TimeoutError as error:
        raise _RefusedError(408, "too_slow") from error
    except ClientDisconnect as error:
        raise _RefusedError(400, "disconnected") from error
